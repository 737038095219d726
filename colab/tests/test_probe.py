import json
import sys
import time
from importlib import metadata
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import psutil
import pytest

from smart_colab_executor.machine import probe
from smart_colab_executor.machine.probe import GIB, Memory


@pytest.fixture
def sixteen_gb(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    lines = {"MemTotal": 16 * GIB, "MemFree": GIB, "MemAvailable": 12 * GIB, "Buffers": 0}
    text = "".join(f"{name}:{size // 1024:>16} kB\n" for name, size in lines.items())
    monkeypatch.setattr(probe, "MEMINFO", tmp_path / "meminfo")
    probe.MEMINFO.write_text(text)


def group(folder: Path, **files: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(text + "\n")


@pytest.mark.usefixtures("sixteen_gb")
class TestMemory:
    def measure(self, tmp_path: Path, membership: str) -> Memory:
        (tmp_path / "membership").write_text(membership)
        return probe._memory(tmp_path / "membership", tmp_path / "cgroup")

    def test_the_machines_memory_counts_without_limits(self, tmp_path: Path) -> None:
        assert probe._memory(tmp_path / "none", tmp_path / "none") == Memory(12.0, 16.0, 25.0)
        assert self.measure(tmp_path, "0::/\n") == Memory(12.0, 16.0, 25.0)

    def test_a_cgroup_v2_limit_counts(self, tmp_path: Path) -> None:
        stat = f"anon 5\ninactive_file {GIB}\nactive_file 7"
        group(tmp_path / "cgroup", memory__max=str(4 * GIB), memory__current=str(2 * GIB), memory__stat=stat)
        assert self.measure(tmp_path, "0::/\n") == Memory(3.0, 4.0, 25.0)

    def test_the_tightest_parent_limit_counts(self, tmp_path: Path) -> None:
        group(tmp_path / "cgroup" / "a", memory__max=str(2 * GIB), memory__current=str(GIB))
        group(tmp_path / "cgroup" / "a" / "b", memory__max="max", memory__current=str(GIB))
        assert self.measure(tmp_path, "0::/a/b\n") == Memory(1.0, 2.0, 50.0)

    def test_a_limit_above_the_machines_memory_is_ignored(self, tmp_path: Path) -> None:
        group(tmp_path / "cgroup", memory__max=str(64 * GIB), memory__current=str(GIB))
        assert self.measure(tmp_path, "0::/\n") == Memory(12.0, 16.0, 25.0)

    def test_a_cgroup_v1_limit_counts(self, tmp_path: Path) -> None:
        group(
            tmp_path / "cgroup" / "memory",
            memory__limit_in_bytes=str(2 * GIB),
            memory__usage_in_bytes=str(2 * GIB),
            memory__stat=f"inactive_file 1\ntotal_inactive_file {GIB}",
        )
        lines = "9:name=systemd:/x\n4:cpu,cpuacct:/docker/1\n3:memory:/docker/1\n0::/system.slice\n"
        assert self.measure(tmp_path, lines) == Memory(1.0, 2.0, 50.0)

    def test_a_cgroup_v1_without_a_limit_is_ignored(self, tmp_path: Path) -> None:
        group(tmp_path / "cgroup" / "memory", memory__limit_in_bytes=str(0x7FFFFFFFFFFFF000))
        assert self.measure(tmp_path, "3:memory:/\n") == Memory(12.0, 16.0, 25.0)

    def test_a_group_over_its_limit_has_no_memory_available(self, tmp_path: Path) -> None:
        group(tmp_path / "cgroup", memory__max=str(GIB), memory__current=str(2 * GIB))
        assert self.measure(tmp_path, "0::/\n") == Memory(0.0, 1.0, 100.0)


def test_a_system_without_linuxs_account_has_its_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(total=16 * GIB, available=12 * GIB))
    monkeypatch.setattr(probe, "MEMINFO", tmp_path / "none")
    assert probe._memory(tmp_path / "none", tmp_path / "none") == Memory(12.0, 16.0, 25.0)


def test_this_machines_memory_is_plausible() -> None:
    now = probe.memory()
    assert 0 < now.available_gb <= now.total_gb
    assert 0 <= now.used_pct <= 100


class FakeNvml(ModuleType):
    """Two GPUs: one that supports all queries, and one under MIG that refuses many."""

    class NVMLError(Exception):
        pass

    class NVMLError_LibraryNotFound(NVMLError):  # noqa: N801 - NVML's own names
        pass

    class NVMLError_DriverNotLoaded(NVMLError):  # noqa: N801
        pass

    def __init__(self, init_error: Exception | None = None, count: int = 2, as_bytes: bool = False) -> None:
        super().__init__("pynvml")
        self.init_error, self.count, self.as_bytes = init_error, count, as_bytes
        self.open = 0

    def text(self, text: str) -> str | bytes:
        return text.encode() if self.as_bytes else text

    def nvmlInit(self) -> None:  # noqa: N802
        if self.init_error:
            raise self.init_error
        self.open += 1

    def nvmlShutdown(self) -> None:  # noqa: N802
        self.open -= 1

    def nvmlSystemGetDriverVersion(self) -> str | bytes:  # noqa: N802
        return self.text("550.54.15")

    def nvmlSystemGetCudaDriverVersion_v2(self) -> int:  # noqa: N802
        return 12040

    def nvmlDeviceGetCount(self) -> int:  # noqa: N802
        return self.count

    def nvmlDeviceGetHandleByIndex(self, index: int) -> int:  # noqa: N802
        return index

    def nvmlDeviceGetName(self, handle: int) -> str | bytes:  # noqa: N802
        return self.text("Tesla T4")

    def nvmlDeviceGetMemoryInfo(self, handle: int) -> SimpleNamespace:  # noqa: N802
        return SimpleNamespace(total=15 * GIB, used=GIB // 2, free=0)

    def nvmlDeviceGetUtilizationRates(self, handle: int) -> SimpleNamespace:  # noqa: N802
        if handle:
            raise self.NVMLError("Not Supported")
        return SimpleNamespace(gpu=3, memory=1)

    def nvmlDeviceGetTemperature(self, handle: int, sensor: int) -> int:  # noqa: N802
        if handle:
            raise self.NVMLError("Not Supported")
        return 40


class TestGpus:
    @pytest.mark.parametrize("as_bytes", [False, True])
    def test_every_gpu_is_listed_with_its_supported_facts(
        self, monkeypatch: pytest.MonkeyPatch, as_bytes: bool
    ) -> None:
        nvml = FakeNvml(as_bytes=as_bytes)
        monkeypatch.setitem(sys.modules, "pynvml", nvml)
        gpus, note = probe._gpus()
        first = {
            "index": 0,
            "name": "Tesla T4",
            "memory_total_gb": 15.0,
            "memory_used_gb": 0.5,
            "utilization_pct": 3,
            "temperature_c": 40,
            "driver_version": "550.54.15",
            "cuda_version": "12.4",
        }
        assert gpus == [first, {**first, "index": 1, "utilization_pct": None, "temperature_c": None}]
        assert note is None
        assert nvml.open == 0

    @pytest.mark.parametrize(
        ("nvml", "note"),
        [
            (FakeNvml(FakeNvml.NVMLError_LibraryNotFound()), "no NVIDIA driver"),
            (FakeNvml(FakeNvml.NVMLError_DriverNotLoaded()), "no NVIDIA driver"),
            (FakeNvml(FakeNvml.NVMLError("version mismatch")), "NVML reports: version mismatch"),
            (FakeNvml(count=0), "the NVIDIA driver sees no GPU"),
            (None, "nvidia-ml-py is not installed"),
        ],
    )
    def test_a_missing_gpu_gives_the_reason(
        self, monkeypatch: pytest.MonkeyPatch, nvml: FakeNvml | None, note: str
    ) -> None:
        monkeypatch.setitem(sys.modules, "pynvml", nvml)
        assert probe._gpus() == ([], note)


class TestMachine:
    def test_the_machine_has_all_parts_of_the_probe_as_json(self, tmp_path: Path) -> None:
        found = probe.machine(tmp_path)
        assert list(found) == [
            "platform",
            "python",
            "compute",
            "gpu",
            "gpu_note",
            "storage",
            "packages",
            "package_count",
        ]
        again: dict[str, Any] = json.loads(json.dumps(found))
        assert again["python"]["executable"] == sys.executable
        assert again["compute"]["cpu_count"] >= 1
        assert again["compute"]["cpu_model"]
        assert again["storage"][0]["path"] == str(tmp_path)
        assert again["package_count"] >= len(again["packages"])

    def test_packages_are_not_imported(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        folder = tmp_path / "torch-9.9.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: torch\nVersion: 9.9\n")
        (tmp_path / "torch.py").write_text("raise SystemExit('imported')")
        (tmp_path / "polars-1.0.dist-info").mkdir()  # broken: it has no METADATA
        monkeypatch.syspath_prepend(str(tmp_path))
        packages = probe.machine(tmp_path)["packages"]
        assert isinstance(packages, dict)
        assert packages["torch"] == "9.9"
        assert "polars" not in packages

    def test_packages_are_found_by_requirements_and_modules(self, tmp_path: Path) -> None:
        named = ["psutil>=5", "psutil==1", "jupyter_client.manager", "os", "concurrent.futures", "numpy[x] ; y"]
        packages = probe.machine(tmp_path, named)["packages"]
        assert isinstance(packages, dict)
        assert packages["os"] == packages["concurrent.futures"] == "part of Python"
        assert packages["psutil>=5"] == packages["psutil==1"] == metadata.version("psutil")
        assert packages["jupyter_client.manager"] == metadata.version("jupyter_client")
        assert packages["numpy[x] ; y"] == metadata.version("numpy")

    def test_named_packages_are_reported_whether_installed_or_not(self, tmp_path: Path) -> None:
        packages = probe.machine(tmp_path, ["psutil", "IPython", "dateutil", "nowhere-7c1", ""])["packages"]
        assert isinstance(packages, dict)
        assert packages["psutil"] == psutil.__version__
        assert packages["IPython"]
        assert packages["dateutil"], "by the module's name"
        assert (packages["nowhere-7c1"], packages[""]) == (None, None)

    def test_colab_is_detected_by_its_environment(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("COLAB_RELEASE_TAG", "release-colab_2026")
        platform = dict(probe.machine(tmp_path)["platform"])  # type: ignore[call-overload]
        assert platform["colab"] is True
        assert 0 < platform["age_sec"] < time.time()
        monkeypatch.delenv("COLAB_RELEASE_TAG")
        assert dict(probe.machine(tmp_path)["platform"])["age_sec"] is None  # type: ignore[call-overload]

    def test_a_mounted_drive_is_storage_too(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(probe, "DRIVE", tmp_path)
        assert len(list(probe.machine(tmp_path)["storage"])) == 2  # type: ignore[call-overload]
        monkeypatch.setattr(probe, "DRIVE", tmp_path / "none")
        assert len(list(probe.machine(tmp_path)["storage"])) == 1  # type: ignore[call-overload]
