"""`/files`."""

from __future__ import annotations

from typing import Literal, NotRequired, TypedDict

from .state import JobState

FileType = Literal["file", "directory", "link", "other"]


class FileEntry(TypedDict):
    """A file in a folder."""

    name: str
    path: str
    type: FileType
    size: int
    modified_at: str
    executable: bool | None


class FileList(TypedDict):
    """`GET /files/list`."""

    path: str
    entries: list[FileEntry]
    next_cursor: str | None
    total: int


class FileChanges(TypedDict):
    """`GET /files/changes`."""

    path: str
    exists: bool
    total: int
    entries: list[FileEntry]
    not_utf8: list[str]
    is_whole: bool
    next: str
    more: bool
    job_state: JobState | None


class FileStat(FileEntry):
    """`GET /files/stat`."""

    etag: str | None
    sha256: str | None
    blake3: str | None
    digest_pending: bool


class FileText(TypedDict):
    """`GET /files/read`."""

    path: str
    size: int
    modified_at: str
    mime: str
    is_text: bool
    text: str
    first_line: int | None
    next_line: int | None
    total_lines: int | None
    is_cut: bool
    encoding: str | None


class FilePreview(TypedDict):
    """`GET /files/preview`."""

    path: str
    size: int
    modified_at: str
    mime: str
    text: str | None
    text_mime: str | None
    is_cut: bool
    note: str | None
    missing_package: str | None


UploadState = Literal["open", "similar", "checking", "complete"]


class Upload(TypedDict):
    """A file that is uploaded in pieces."""

    path: str
    size: int
    sha256: str | None
    state: UploadState
    received: list[tuple[int, int]]
    executable: bool | None


class BundleRequest(TypedDict):
    """The body of `POST /files/bundle`."""

    path: str
    names: list[str]


class BundleFile(TypedDict):
    """A line of a bundle, before the bytes of its file."""

    name: str
    size: int
    sha256: str
    modified_at: str
    executable: NotRequired[bool | None]


class BundleMissing(TypedDict):
    """A line of a bundle for a file that cannot be read."""

    name: str
    code: str
    detail: str


class BundleEnd(TypedDict):
    """The last line of a bundle."""

    end: Literal[True]


BundleLine = BundleFile | BundleMissing | BundleEnd


class BundleWritten(TypedDict):
    """The outcome for one file of an uploaded bundle."""

    name: str
    code: str | None
    detail: str | None
    executable: bool | None


class BundleReply(TypedDict):
    """`PUT /files/bundle`."""

    files: list[BundleWritten]
