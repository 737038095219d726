"""A scheduler and workers of dask as processes of their own, which speak TLS with a certificate of this test."""

from __future__ import annotations

import datetime
import ipaddress
import os
import re
import subprocess
import sys
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from harness import wait_until

ROLES = ("CLIENT", "SCHEDULER", "WORKER")


class DaskProcesses:
    """Ends them all when it is left."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.address = "tls://127.0.0.1:0"
        certificate = self._certify()
        tls = "DASK_DISTRIBUTED__COMM__TLS__"
        self.environment = {
            f"{tls}CA_FILE": certificate,
            **{f"{tls}{role}__{part}": certificate for role in ROLES for part in ("CERT", "KEY")},
            "DASK_DISTRIBUTED__COMM__REQUIRE_ENCRYPTION": "true",
        }
        self.processes: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> DaskProcesses:
        return self

    def __exit__(self, *_: object) -> None:
        for process in self.processes:
            process.kill()
            process.wait()

    def start_scheduler(self) -> subprocess.Popen[bytes]:
        """Start it, where the last one was, and wait until it listens."""
        log = self.folder / f"scheduler-{len(self.processes)}.log"
        port = self.address.rpartition(":")[2]
        arguments = ["--host", "tls://127.0.0.1", "--port", port, "--no-dashboard", "--no-show"]
        process = self._start("scheduler", arguments, log)
        wait_until(lambda: re.search(rb"Scheduler at: +(tls://\S+)\n", log.read_bytes()))
        [self.address] = re.findall(r"Scheduler at: +(tls://\S+)\n", log.read_text())
        return process

    def start_worker(self) -> subprocess.Popen[bytes]:
        """Start one with one thread, itself the process that runs tasks, and wait until the scheduler knows it."""
        log = self.folder / f"worker-{len(self.processes)}.log"
        arguments = [self.address, "--host", "127.0.0.1", "--no-nanny", "--nthreads", "1", "--no-dashboard"]
        process = self._start("worker", [*arguments, "--local-directory", str(self.folder)], log)
        wait_until(lambda: b"Registered to:" in log.read_bytes())
        return process

    def _start(self, kind: str, arguments: list[str], log: Path) -> subprocess.Popen[bytes]:
        with log.open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "distributed.cli.dask_" + kind, *arguments],
                env=os.environ | self.environment,
                stdout=output,
                stderr=output,
                cwd=self.folder,
            )
        self.processes.append(process)
        return process

    def _certify(self) -> str:
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "dask")])
        here = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
        now = datetime.datetime.now(datetime.UTC)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=1))
            .add_extension(x509.SubjectAlternativeName([here]), critical=False)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .sign(key, hashes.SHA256())
        )
        secret = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        file = self.folder / "dask.pem"
        file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM) + secret)
        return str(file)
