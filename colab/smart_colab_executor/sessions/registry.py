"""All sessions, with an interface for the other threads."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from ..core.errors import Busy, InvalidArgument, NotFound, Occupied
from ..jobs.job import Ending, Job
from ..jobs.questions import Answer
from ..jobs.request import DEFAULT_SESSION
from ..kernels.adopted import AdoptedKernel, connection_file, kernel_of
from ..kernels.channels import KernelChannels
from ..kernels.executions import KernelNotStarted
from ..kernels.fork_server import ForkServer
from ..kernels.kernel import Kernel
from ..kernels.leftovers import KernelNotes
from ..kernels.loop_thread import LoopThread, in_background
from ..kernels.workspace import NoWorkspace, Workspace
from ..machine import probe
from .session import Session

RESTART_TIMEOUT_SEC = 20.0
EXECUTOR_STOPS = Ending("lost", "executor_stopped")


class Sessions:
    """All sessions; callable from any thread except the kernels' own."""

    def __init__(
        self,
        workspace: Workspace,
        thread: LoopThread,
        notes: KernelNotes,
        adopt_from: Sequence[Path] = (),
        fork_server: ForkServer | None = None,
    ) -> None:
        """Prepare; `adopt_from` has the folders with the connection files of Jupyter's kernels."""
        self._workspace = workspace
        self._notes = notes
        self._thread = thread
        self._adopt_from = adopt_from
        self._fork_server = fork_server
        self._sessions: dict[str, Session] = {}
        self._closed = False

    def open(self) -> None:
        """Create `main` and start its kernel in the background."""

        async def begin() -> None:
            in_background(self._open(DEFAULT_SESSION).warm())

        self._thread.run(begin())

    def close(self) -> None:
        """End all jobs and kernels; nothing can be started afterwards."""

        async def end() -> None:
            self._closed = True
            await asyncio.gather(*(session.end(EXECUTOR_STOPS) for session in self._sessions.values()))

        self._thread.run(end())

    def submit(self, job: Job) -> None:
        """Queue a job."""

        def enqueue() -> None:
            if self._closed:
                job.finish(EXECUTOR_STOPS)
            else:
                job.is_first = job.request.session not in (DEFAULT_SESSION, *self._sessions)
                self._open(job.request.session, job.request.folder).enqueue(job)

        self._thread.call(enqueue)

    def interrupt(self, job: Job) -> None:
        """Remove a queued job from its queue, or interrupt a running one."""

        async def interrupt() -> None:
            if (session := self._sessions.get(job.request.session)) is not None:
                await session.interrupt(job)

        self._thread.run(interrupt())

    def answer(self, job: Job, answer: Answer) -> None:
        """Answer the question of a job's code. Raises NotAsking."""

        async def pass_on() -> None:
            session = self._sessions.get(job.request.session)
            if session is None:
                job.questions.take(answer)
            else:
                await session.answer(job, answer)

        self._thread.run(pass_on())

    def restore_records(self) -> None:
        """Restore what was removed: the workspace, and the records of jobs and kernels."""

        def restore() -> None:
            with suppress(NoWorkspace):  # reported when a kernel needs it
                self._workspace.ensure_exists()
            for session in self._sessions.values():
                session.restore_records()

        self._thread.call(restore)

    def describe(self) -> list[dict[str, Any]]:
        """Describe all sessions, `main` first."""

        async def describe() -> list[tuple[dict[str, Any], int | None]]:
            self._open(DEFAULT_SESSION)
            names = sorted(self._sessions, key=lambda name: (name != DEFAULT_SESSION, name))
            return [_described(self._sessions[name]) for name in names]

        return _with_memory(self._thread.run(describe()))

    def folders(self) -> dict[str, Path]:
        """Return the current folder of each session's kernel, if the system reports it."""

        async def processes() -> dict[str, int]:
            kernels = {name: session.kernel for name, session in self._sessions.items()}
            return {name: kernel.pid for name, kernel in kernels.items() if kernel and kernel.pid}

        folders = {name: probe.current_folder(pid) for name, pid in self._thread.run(processes()).items()}
        return {name: folder for name, folder in folders.items() if folder is not None}

    def restart(self, name: str) -> tuple[dict[str, Any], list[str]]:
        """Restart a session; return it with its new kernel, and the ended jobs. Raises NotFound, Busy."""

        async def restart() -> tuple[tuple[dict[str, Any], int | None], list[str]]:
            session = self._get(name)
            if session.adopted:
                raise InvalidArgument(
                    f"The kernel of session {name} belongs to a Jupyter server, which alone can restart it.",
                    "Restart it in Jupyter: the session then uses the new process. Code that runs can be interrupted.",
                )
            restarting = asyncio.ensure_future(session.restart())
            in_background(restarting)
            await asyncio.wait((restarting,), timeout=RESTART_TIMEOUT_SEC)
            if not restarting.done():
                restarting.add_done_callback(lambda task: task.cancelled() or task.exception())
                raise Occupied(
                    f"Session {name} is still restarting: its jobs have ended, its new kernel is not ready.",
                    "Do not restart it again: the restart continues, and code sent now runs in the new kernel.",
                    retryable=False,
                )
            error = restarting.exception()
            if self._sessions.get(name) is not session:
                raise NotFound(f"Session {name} was deleted meanwhile.", "Running code in it creates it.") from error
            if isinstance(error, KernelNotStarted):
                raise Busy(
                    f"A new kernel could not be started: {error}.", "Fix that, or try again in a minute."
                ) from error
            return _described(session), restarting.result()

        described, ended = self._thread.run(restart())
        [shown] = _with_memory([described])
        return shown, ended

    def delete(self, name: str) -> list[str]:
        """Delete a session; return the ended jobs. Raises NotFound."""

        async def delete() -> list[str]:
            session = self._get(name)
            del self._sessions[name]
            return await session.end(Ending("interrupted", "session_deleted"))

        return self._thread.run(delete())

    def variables(self, name: str, pattern: str | None = None) -> dict[str, Any]:
        """Return the reply of `GET /variables`. Raises NotFound."""

        async def variables() -> dict[str, Any]:
            return await self._get(name).variables(pattern)

        return self._thread.run(variables())

    def cleanup(self, name: str, variables: list[str] | None = None) -> dict[str, Any]:
        """Clean up a session, or these variables of it; return what was cleared. Raises NotFound, Busy."""

        async def cleanup() -> dict[str, Any]:
            return await self._get(name).cleanup(variables)

        return self._thread.run(cleanup())

    def _open(self, name: str, folder: str | None = None) -> Session:
        if name not in self._sessions:
            self._sessions[name] = Session(name, partial(self._new_kernel, kernel_of(name), folder))
        return self._sessions[name]

    def _new_kernel(self, adopted: str | None, folder: str | None) -> KernelChannels:
        if adopted:
            return AdoptedKernel(adopted, self._adopt_from)
        return Kernel(self._workspace, self._notes, folder, self._fork_server)

    def _get(self, name: str) -> Session:
        adopted = kernel_of(name)
        if name == DEFAULT_SESSION or (adopted and connection_file(adopted, self._adopt_from)):
            return self._open(name)
        session = self._sessions.get(name)
        if session is None and adopted:
            raise NotFound(
                f"There is no Jupyter kernel {adopted} on this machine.",
                "Open its notebook in Jupyter, or start it there.",
            )
        if session is None:
            known = ", ".join(sorted({DEFAULT_SESSION, *self._sessions}))
            raise NotFound(
                f"There is no session {name}.", f"There are: {known}. Running code under a new name creates a session."
            )
        return session


def _described(session: Session) -> tuple[dict[str, Any], int | None]:
    kernel = session.kernel
    return session.describe(), kernel.pid if kernel else None


def _with_memory(described: list[tuple[dict[str, Any], int | None]]) -> list[dict[str, Any]]:
    """Add the memory of the sessions' kernels. Not in the kernels' thread: it scans all processes of the machine."""
    memory = probe.resident_mb(pid for _, pid in described if pid is not None)
    return [{**shown, "memory_mb": memory.get(pid) if pid is not None else None} for shown, pid in described]
