"""HDF5 files, by h5py: groups, datasets, attributes, and the first values of the first datasets."""

from __future__ import annotations

import math
from collections.abc import Callable
from io import BufferedReader
from typing import Any

import h5py
import numpy

from .arrays import LINE_WIDTH, corner_of, written
from .layout import Page, cell, counted
from .request import Patience, Preview, Request

OBJECTS = 200
COUNTED_OBJECTS = 10_000
# Datasets of which values are shown, and rows of each.
DATASETS = 20
ROWS = 3
ATTRIBUTES = 10
MAX_CHUNK_BYTES = 256 * 1024 * 1024


def read_hdf5(request: Request, file: BufferedReader, bound: Callable[[], None]) -> Preview:
    """Show an HDF5 file. Links are named and not followed: they may lead to other files."""
    bound()
    # Of a file object rather than a path: nothing locks the file for the program that writes it.
    with h5py.File(file, "r") as opened:
        listing = _Listing(opened, request.rows)
        opened.visititems_links(listing.add)
        return listing.preview()


class _Listing:
    def __init__(self, file: Any, rows: int | None) -> None:
        self._file = file
        self._rows = rows or ROWS
        self._patience = Patience()
        self._page = Page()
        self._groups = self._datasets = self._count = 0
        self._is_whole = True
        self._add_attributes(file, "  ")

    def preview(self) -> Preview:
        groups, datasets = counted(self._groups, "group", "groups"), counted(self._datasets, "dataset", "datasets")
        more = "" if self._is_whole else ", and more"
        page = Page()
        page.add(f"HDF5: {groups}, {datasets}{more}")
        page.add_lines(self._page.text)
        if self._is_whole:
            page.add_more(self._count - OBJECTS, "object", "objects")
        else:
            page.add("[… more objects follow …]")
        return Preview(page.text, page.is_cut or self._page.is_cut)

    def add(self, name: str | bytes, link: Any) -> bool | None:
        """Add what a link leads to. Ends the listing by returning something."""
        if self._patience.is_over() or self._count == COUNTED_OBJECTS:
            self._is_whole = False
            return True
        self._count += 1
        name = name.decode("utf-8", "replace") if isinstance(name, bytes) else name
        is_shown = self._count <= OBJECTS
        if not isinstance(link, h5py.HardLink):
            if is_shown:
                place = getattr(link, "filename", "")
                self._page.add(f"/{name}  link to {place}{':' if place else ''}{link.path}")
            return None
        found = self._file[name]
        if isinstance(found, h5py.Dataset):
            self._datasets += 1
            if is_shown:
                self._add_dataset(name, found)
        else:
            self._groups += isinstance(found, h5py.Group)
            if is_shown:
                kind = "group" if isinstance(found, h5py.Group) else "type"
                self._page.add(f"/{name}  {kind}")
        if is_shown:
            self._add_attributes(found, "    ")
        return None

    def _add_dataset(self, name: str, dataset: Any) -> None:
        if dataset.shape is None:
            self._page.add(f"/{name}  empty {dataset.dtype}")
            return
        shape = "×".join(f"{length:,}" for length in dataset.shape) or "scalar"
        packing = f", {dataset.compression}" if dataset.compression else ""
        self._page.add(f"/{name}  {shape} {dataset.dtype}{packing}")
        if self._datasets <= DATASETS:
            self._page.add_lines(self._values(dataset))

    def _values(self, dataset: Any) -> str:
        # What lies in other files may lie anywhere.
        if dataset.is_virtual or dataset.external:
            return "    [its values lie in other files]"
        item = dataset.dtype.itemsize
        if dataset.chunks and math.prod(dataset.chunks) * item > MAX_CHUNK_BYTES:
            return "    [its values lie in chunks too large to be read here]"
        corner = tuple(slice(length) for length in corner_of(dataset.shape, self._rows))
        try:
            found = dataset[corner]
            text = written(found) if getattr(found, "shape", ()) else cell(_plain(found))
        except Exception as error:
            text = f"[its values cannot be read: {str(error)[:LINE_WIDTH]}]"
        return "\n".join(f"    {line}" for line in text.splitlines())

    def _add_attributes(self, found: Any, indent: str) -> None:
        names = list(found.attrs)
        for name in names[:ATTRIBUTES]:
            try:
                value = cell(_plain(found.attrs[name]))
            except Exception as error:
                value = f"[cannot be read: {str(error)[:LINE_WIDTH]}]"
            self._page.add(f"{indent}@{name} = {value}")
        self._page.add_more(len(names) - ATTRIBUTES, "attribute", "attributes")


def _plain(value: object) -> object:
    """Format a value for people."""
    if isinstance(value, numpy.ndarray):
        return written(value)
    return value.item() if isinstance(value, numpy.generic) else value
