"""Facts about the machine: memory, processors, GPUs, disks, packages."""

from __future__ import annotations

import os
import platform
import re
import shutil
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import TypeVar

import psutil

from . import cgroups
from .lifetime import age_sec, is_colab

T = TypeVar("T")

GIB = 1024**3
DRIVE = Path("/content/drive/MyDrive")

# Reported where they are installed; any other is reported by its name.
WELL_KNOWN = """
accelerate cupy-cuda12x dask datasets diffusers jax keras lightgbm lightning matplotlib numba numpy opencv-python pandas
peft polars pyarrow scikit-learn scipy tensorflow torch transformers vllm xgboost
""".split()  # noqa: SIM905 - a word a line would fill the page

# The last measurement of the memory, and its time.
_latest: tuple[float, Memory] | None = None

# Linux's own account; psutil reads it all, which takes longer than a quick job's other measurements together.
MEMINFO = Path("/proc/meminfo")
_TOTAL_AND_AVAILABLE = re.compile(rb"MemTotal: +([0-9]+) kB\n(?:.*\n)*?MemAvailable: +([0-9]+) kB\n")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 0

# What may follow a name in a requirement: extras, versions, markers.
_REQUIREMENT = re.compile(r"[\s\[<>=!~;@]")


@dataclass(frozen=True)
class Memory:
    """The memory of this machine, or of this container if its limit is lower."""

    available_gb: float
    total_gb: float
    used_pct: float


def memory(max_age_sec: float = 0.0) -> Memory:
    """Measure the memory, or return the last measurement if it is young enough.

    Fast enough to run before and after every job.
    """
    global _latest
    if _latest is None or time.monotonic() - _latest[0] > max_age_sec:
        _latest = time.monotonic(), _memory(cgroups.MEMBERSHIP, cgroups.MOUNT)
    return _latest[1]


def current_folder(pid: int) -> Path | None:
    """Return a process's current folder; None if the system does not report it."""
    try:
        return Path(psutil.Process(pid).cwd())
    except (psutil.Error, OSError):
        return None


def own_memory_mb(pid: int) -> float | None:
    """Measure the resident memory of a process alone; None where it is gone. Fast enough for before and after a job."""
    # On Linux its size and its resident part come first, in pages.
    pages = cgroups.read(f"/proc/{pid}/statm") if _PAGE_BYTES else None
    try:
        resident = int(pages.split()[1]) * _PAGE_BYTES if pages else _process(pid).memory_info().rss
    except psutil.Error:
        return None
    return round(resident / 1024**2, 1) or None  # a zombie has none


@lru_cache(256)  # making the object takes longer than measuring
def _process(pid: int) -> psutil.Process:
    return psutil.Process(pid)


def resident_mb(pids: Iterable[int]) -> dict[int, float]:
    """Measure the resident memory of processes, each with all its children; those that have ended are left out.

    One look at the machine's processes serves all: it takes longer than the rest.
    """
    children: dict[int, list[int]] = defaultdict(list)
    for process in psutil.process_iter(["ppid"]):
        children[process.info["ppid"]].append(process.pid)
    return {pid: round(whole / 1024**2, 1) for pid in pids if (whole := _resident(pid, children))}


def _resident(pid: int, children: dict[int, list[int]]) -> int:
    whole = 0
    # Ids that were reused while the machine was looked at could make a circle.
    waiting, seen = [pid], set[int]()
    while waiting:
        one = waiting.pop()
        if one in seen:
            continue
        seen.add(one)
        waiting += children.get(one, ())
        try:
            whole += psutil.Process(one).memory_info().rss
        except psutil.Error:
            if one == pid:
                return 0
    return whole


def machine(root: Path, packages: list[str] | None = None) -> dict[str, object]:
    """Describe the machine with these packages; never raises, and imports no package to get its version."""
    now = memory()
    gpus, note = _gpus()
    return {
        "platform": {
            "system": platform.system(),
            "release": platform.release(),
            "machine": platform.machine(),
            "colab": is_colab(),
            "age_sec": age_sec(),
        },
        "python": {
            "version": platform.python_version(),
            "implementation": platform.python_implementation(),
            "executable": sys.executable,
        },
        "compute": {
            "cpu_model": _cpu_model(),
            "cpu_count": _cpu_count(),
            "load_1m": round(psutil.getloadavg()[0], 2),
            "memory_total_gb": now.total_gb,
            "memory_available_gb": now.available_gb,
            "memory_used_pct": now.used_pct,
        },
        "gpu": gpus,
        "gpu_note": note,
        "storage": [found for path in (root, DRIVE) if (found := _storage(path))],
        "packages": _versions(packages),
        "package_count": sum(1 for _ in metadata.distributions()),
    }


def _memory(membership: Path, mount: Path) -> Memory:
    total, available = _whole_memory()
    for limit, used in _limits(membership, mount):
        available = min(available, max(limit - used, 0))
        total = min(total, limit)
    used_pct = 100 * (1 - available / total) if total else 100.0
    return Memory(round(available / GIB, 3), round(total / GIB, 3), round(used_pct, 1))


def _whole_memory() -> tuple[int, int]:
    """Return the machine's memory and what of it is available, in bytes."""
    found = _TOTAL_AND_AVAILABLE.match(cgroups.read(MEMINFO) or b"")
    if found:
        return int(found[1]) * 1024, int(found[2]) * 1024
    whole = psutil.virtual_memory()
    return whole.total, whole.available


def _limits(membership: Path, mount: Path) -> Iterator[tuple[int, int]]:
    """Yield (limit, used) for this process's control groups and their parents; only Linux has any."""
    for most, usage, statistics, cache in _counters(membership, mount, int(time.monotonic())):
        # Inactive file pages are reclaimed on demand, so they do not count as used.
        yield most, (_number(usage) or 0) - (cgroups.statistic(statistics, cache) or 0)


@lru_cache(1)  # for the second: limits change seldom, and there are many files to look at
def _counters(membership: Path, mount: Path, _second: int) -> list[tuple[int, Path, Path, str]]:
    """Return the limits, each with its files: usage, statistics, and the statistics' name of the caches."""
    counters = []
    for group in cgroups.memory_groups(membership, mount):
        if group.version == 2:
            limit, usage, cache = "memory.max", "memory.current", "inactive_file"
        else:
            limit, usage, cache = "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"
        for place in (group.folder, *group.folder.parents):
            if not place.is_relative_to(group.base):
                break
            most = _number(place / limit)
            if most is not None and most < 1 << 60:  # version 1 expresses "no limit" as a huge number
                counters.append((most, place / usage, place / "memory.stat", cache))
    return counters


def _number(file: Path) -> int | None:
    try:
        return int(cgroups.read(file) or b"")
    except ValueError:  # "max"
        return None


def _cpu_model() -> str:
    try:
        found = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    except (OSError, ValueError):
        found = None
    return found[1].strip() if found else platform.processor() or platform.machine()


def _cpu_count() -> int:
    if hasattr(os, "sched_getaffinity"):  # the processors that this process may use
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _storage(path: Path) -> dict[str, object] | None:
    try:
        usage = shutil.disk_usage(path)
    except OSError:
        return None
    return {
        "path": str(path),
        "total_gb": round(usage.total / GIB, 2),
        "free_gb": round(usage.free / GIB, 2),
        "used_pct": round(100 * usage.used / usage.total, 1) if usage.total else 0.0,
    }


def _versions(names: list[str] | None) -> dict[str, str | None]:
    """Return the versions of packages, by their names or their modules', None where one is not installed."""
    if names is None:
        return {name: version for name in WELL_KNOWN if (version := _version(name))}
    bare = {name: _REQUIREMENT.split(name, maxsplit=1)[0] for name in names}
    found = {name: _version(bare[name]) for name in names}
    if not all(found.values()):
        modules = metadata.packages_distributions()
        for name in names:
            module = bare[name].partition(".")[0]
            if found[name] is None and module in sys.stdlib_module_names:
                found[name] = "part of Python"
            elif found[name] is None and module in modules:
                found[name] = _version(modules[module][0])
    return found


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except Exception:  # a broken installation must not hide the others
        return None


def _gpus() -> tuple[list[dict[str, object]], str | None]:
    """Query NVML for every GPU; the note gives the reason if there is none."""
    try:
        import pynvml
    except ImportError:
        return [], "nvidia-ml-py is not installed"
    try:
        pynvml.nvmlInit()
    except (pynvml.NVMLError_LibraryNotFound, pynvml.NVMLError_DriverNotLoaded):
        return [], "no NVIDIA driver"
    except pynvml.NVMLError as error:
        return [], f"NVML reports: {error}"
    try:
        driver = _ask(pynvml.nvmlSystemGetDriverVersion)
        cuda = _ask(pynvml.nvmlSystemGetCudaDriverVersion_v2)
        shared = {
            "driver_version": _text(driver),
            "cuda_version": f"{cuda // 1000}.{cuda % 1000 // 10}" if isinstance(cuda, int) else None,
        }
        count = _ask(pynvml.nvmlDeviceGetCount)
        gpus = [_gpu(pynvml, index) | shared for index in range(count if isinstance(count, int) else 0)]
    finally:
        _ask(pynvml.nvmlShutdown)
    return gpus, None if gpus else "the NVIDIA driver sees no GPU"


def _gpu(nvml: ModuleType, index: int) -> dict[str, object]:
    handle = _ask(nvml.nvmlDeviceGetHandleByIndex, index)
    space = _ask(nvml.nvmlDeviceGetMemoryInfo, handle)
    return {
        "index": index,
        "name": _text(_ask(nvml.nvmlDeviceGetName, handle)),
        "memory_total_gb": round(space.total / GIB, 2) if space else None,
        "memory_used_gb": round(space.used / GIB, 2) if space else None,
        "utilization_pct": getattr(_ask(nvml.nvmlDeviceGetUtilizationRates, handle), "gpu", None),
        "temperature_c": _ask(nvml.nvmlDeviceGetTemperature, handle, 0),  # 0: the sensor of the GPU itself
    }


def _ask(question: Callable[..., T], *arguments: object) -> T | None:
    """Query NVML; return None if the device does not support the query."""
    try:
        return question(*arguments)
    except Exception:
        return None


def _text(value: object) -> str | None:
    return value.decode() if isinstance(value, bytes) else value if isinstance(value, str) else None


def lives(process: psutil.Process) -> bool:
    """Return whether a process runs: it has not ended, and its pid is not another's by now."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False
