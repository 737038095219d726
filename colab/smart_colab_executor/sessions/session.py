"""One session: a named kernel that runs its jobs one after the other; the steps of loops alternate with other jobs.

For the kernels' thread only.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from fnmatch import fnmatchcase
from typing import Any, Literal

from ..core.clock import now
from ..core.errors import InvalidArgument, Occupied
from ..jobs.job import Ending, Job, Place
from ..jobs.questions import Answer
from ..kernels.adopted import kernel_of
from ..kernels.channels import KernelChannels
from ..kernels.executions import KernelDied, KernelNotStarted, KernelSilent
from ..kernels.loop_thread import in_background
from .clearing import clear_kernel, nothing_to_clear
from .endings import DISK_FULL, GOES_ON, INTERRUPTED, KERNEL_DIED, KERNEL_GONE, KERNEL_REPLACED, UNKNOWN_EXIT
from .turn import Turn

log = logging.getLogger(__name__)

VARIABLES_TIMEOUT_SEC = 3.0
# Delay from a job's end to the snapshot; jobs that end meanwhile share it.
SNAPSHOT_DELAY_SEC = 0.2


class Session:
    """One named kernel and the jobs that wait for it."""

    def __init__(self, name: str, new_kernel: Callable[[], KernelChannels]) -> None:
        self.name = name
        # The id of the Jupyter kernel that it uses; None for kernels of its own.
        self.adopted = kernel_of(name)
        self._new_kernel = new_kernel
        self._kernel: KernelChannels | None = None
        self._start: asyncio.Task[None] | None = None
        self._restart: asyncio.Task[list[str]] | None = None
        self._started_at: str | None = None
        self._idle_since = 0.0
        # Jobs that have not started, and jobs between two steps, all of which started in the current kernel.
        self._queue: deque[Job] = deque()
        self._running: Turn | None = None
        # Set while all jobs must end for a reason that the kernel does not know.
        self._ending: Ending | None = None
        self._work: asyncio.Task[None] | None = None
        # Its holder has exclusive use of the kernel.
        self._turn = asyncio.Lock()
        self._snapshot: dict[str, Any] | None = None
        self._snapshot_due = False

    @property
    def kernel(self) -> KernelChannels | None:
        """The kernel, if it is running."""
        return None if self._kernel is None or self._kernel.died.done() else self._kernel

    @property
    def state(self) -> Literal["starting", "idle", "busy", "dead"]:
        """`dead`: no kernel now, the next job starts one."""
        if self._start is not None:
            return "starting"
        if self.kernel is None:
            return "dead"
        return "busy" if self._running is not None or self._running_job is not None else "idle"

    @property
    def _running_job(self) -> Job | None:
        """The job whose step is running; if there is none, the first one between two steps."""
        if self._running is not None and self._running.job.has_begun:
            return self._running.job
        return next((job for job in self._queue if job.has_begun), None)

    @property
    def _waiting(self) -> list[Job]:
        """The jobs in the queue, after the one that waits in an adopted kernel's own."""
        sent = [self._running.job] if self._running is not None and self._running.is_waiting else []
        return [*sent, *self._queue]

    def describe(self) -> dict[str, Any]:
        """Return the session as the API shows it, without its memory, which takes a while to measure."""
        kernel, state, running = self.kernel, self.state, self._running_job
        return {
            "name": self.name,
            "state": state,
            "adopted": self.adopted,
            # That of an adopted one is known once it is ready.
            "kernel_id": kernel.id if kernel and not (self.adopted and self._start) else None,
            "started_at": self._started_at if kernel else None,
            "running_job": running.id if running else None,
            "queued_jobs": sum(not job.has_begun for job in self._waiting),
            "execution_count": kernel.execution_count if kernel else 0,
            "idle_sec": round(time.monotonic() - self._idle_since, 1) if state == "idle" else None,
        }

    def enqueue(self, job: Job) -> None:
        """Run `job` when its turn comes."""
        self._queue.append(job)
        self._number_queue()
        if self._work is None or self._work.done():
            self._work = asyncio.create_task(self._run_queue())

    async def warm(self) -> None:
        """Start a kernel before the first job needs it."""
        with suppress(KernelNotStarted):
            async with self._turn:
                await self._ensure_kernel()

    def restore_records(self) -> None:
        """Restore removed records of its jobs and its kernel."""
        with suppress(OSError):
            for job in [*([self._running.job] if self._running else []), *self._queue]:
                job.restore_files()
        if (kernel := self.kernel) is not None:
            kernel.restore_record()

    async def interrupt(self, job: Job) -> None:
        """Remove a job that is queued or between two steps, interrupt a running one, leave a finished one."""
        if job in self._queue:
            self._queue.remove(job)
            self._number_queue()
            job.finish(INTERRUPTED)
        elif self._running is not None and self._running.job is job:
            self._running.interrupt()

    async def answer(self, job: Job, answer: Answer) -> None:
        """Answer the question of a job's code. Raises NotAsking."""
        if self._running is not None and self._running.job is job:
            await self._running.answer(answer)
        else:
            job.questions.take(answer)

    async def end(self, ending: Ending, *, start_new: bool = False) -> list[str]:
        """Discard the kernel and end all jobs; return their ids. With `start_new`, start a new kernel.

        Raises KernelNotStarted.
        """
        # Queued for the turn ahead of all later requests.
        turn = asyncio.ensure_future(self._turn.acquire())
        await asyncio.sleep(0)
        ended = [*([self._running.job.id] if self._running else []), *self._end_queued(ending)]
        self._ending = replace(ending, variables_lost=self.adopted is None)
        try:
            if self._start is not None:
                self._start.cancel()
            elif self._kernel is not None and not turn.done():
                await self._kernel.discard()  # at once: it is in use
            # The running job releases the turn.
            await turn
            await self._discard_kernel()
            self._ending = None
            if start_new:
                await self._ensure_kernel()
        finally:
            if turn.done():
                self._turn.release()
            else:
                turn.cancel()
        return ended

    async def restart(self) -> list[str]:
        """End all jobs and start a new kernel; concurrent calls share one restart. Raises KernelNotStarted."""
        ending = Ending("interrupted", "session_restarted")
        if self._restart is None or self._restart.done():
            self._restart = asyncio.create_task(self.end(ending, start_new=True))
            return await self._restart
        ended = self._end_queued(ending)
        await asyncio.shield(self._restart)
        return ended

    def _end_queued(self, ending: Ending) -> list[str]:
        queued, self._queue = list(self._queue), deque()
        for job in queued:
            job.finish(replace(ending, variables_lost=job.has_begun and self.adopted is None))
        return [job.id for job in queued]

    async def variables(self, pattern: str | None = None) -> dict[str, Any]:
        """Return the user's variables, or those that match: live, even while a cell runs, else of the last snapshot."""
        await self._attach()
        kernel = self.kernel
        listing: dict[str, Any] = {"source": "none", "as_of": now(), "variables": [], "total": 0}
        # A kernel that is still starting has no variables yet, and would not answer.
        if kernel is not None and self._start is None:
            try:
                listing |= await kernel.request("variables", pattern=pattern, patience=VARIABLES_TIMEOUT_SEC)
                listing["source"] = "live"
            except (KernelDied, KernelSilent):
                listing |= _matching(self._snapshot, pattern) if self._snapshot else {}
        return {"session": self.name, "kernel_id": kernel.id if kernel else None, **listing}

    async def cleanup(self, names: list[str] | None = None) -> dict[str, Any]:
        """Clear variables, or those of these names, and give memory back. Raises Busy, NotFound for unknown names."""
        if self._running is not None or self._queue:
            raise Occupied(f"Session {self.name} is running code.", "Wait for it to end, or interrupt it.")
        if self.adopted and not names:
            raise InvalidArgument(
                f"The variables of session {self.name} are a notebook's.", "Name those to clear in 'variables'."
            )
        await self._attach()
        if self.adopted and self._start is not None:
            raise Occupied("The kernel runs a cell of its notebook.", "Wait for it to end.")
        # A kernel that is still starting holds nothing: there is no need to wait for it.
        if self._start is not None or (self._restart is not None and not self._restart.done()):
            return nothing_to_clear(self.name, names)
        async with self._turn:
            if self.kernel is None:
                return nothing_to_clear(self.name, names)
            done = await clear_kernel(self.kernel, self.name, names)
            self._schedule_snapshot()
            return done

    async def _run_queue(self) -> None:
        while self._queue:
            async with self._turn:
                await self._run_next()

    async def _run_next(self) -> None:
        self._ending = None
        try:
            kernel = await self._ensure_kernel()
        except KernelNotStarted as error:
            # If the session was ended meanwhile, the jobs that wait now were sent later.
            if self._queue and self._ending is None:
                self._fail_without_kernel(self._queue.popleft(), str(error))
            return
        # It leaves the queue only now: while the kernel started it could still be interrupted.
        if not self._queue:
            return
        job = self._queue.popleft()
        if job.request.kernel_id not in (None, kernel.id):
            self._number_queue()
            job.finish(KERNEL_REPLACED)
            return
        turn = self._running = Turn(kernel, job, lambda: self._running, self._number_queue)
        self._number_queue()
        try:
            ending = await turn.run()
        except Exception:
            log.exception("job %s", job.id)
            ending = KERNEL_DIED
            await self._discard_kernel()
        if kernel.died.done() or kernel.leaves.done():
            await self._discard_kernel()
        else:
            self._schedule_snapshot()
        self._running, self._idle_since = None, time.monotonic()
        final = self._ending or (DISK_FULL if turn.disk_is_full else ending)
        turn.end(shows=final not in (None, DISK_FULL))
        if final is None or final is GOES_ON:
            self._queue_again(job, is_first=final is None)
            return
        lost = ending is not None and ending.variables_lost
        job.finish(replace(final, variables_lost=final.variables_lost or lost))
        if lost and self._ending is None and not self.adopted:
            # Once: if a kernel dies while it starts, the next job tries again.
            with suppress(KernelNotStarted):
                await self._ensure_kernel()

    def _queue_again(self, job: Job, *, is_first: bool) -> None:
        """Queue a job for its next step; `is_first`: it has run nothing, and is first to run in another kernel."""
        if is_first:
            self._queue.appendleft(job)
            job.requeue()
        else:
            self._queue.append(job)
        self._number_queue()

    def _fail_without_kernel(self, job: Job, why: str) -> None:
        self._number_queue()
        with suppress(OSError):
            said = f"{why}. Send the code again; if it happens again, see the executor's log."
            job.output("error", {"ename": "KernelNotStarted", "evalue": said, "traceback": [said]})
        job.finish(Ending("failed", "kernel_died", kernel_exit=UNKNOWN_EXIT))

    async def _attach(self) -> None:
        """Connect to the kernel to adopt, if it was not used before; wait a while for that."""
        if self.adopted and self.kernel is None:
            attaching = asyncio.ensure_future(self.warm())
            in_background(attaching)
            await asyncio.wait((attaching,), timeout=VARIABLES_TIMEOUT_SEC)

    async def _ensure_kernel(self) -> KernelChannels:
        """Return the running kernel, or start a new one. Raises KernelNotStarted."""
        if self._kernel is not None:
            self._kernel.look()
        if self.kernel is not None and not self.kernel.leaves.done():
            return self.kernel
        await self._discard_kernel()
        for attempt in (1, 2):
            kernel = self._kernel = self._new_kernel()
            self._start = asyncio.create_task(kernel.start())
            try:
                await self._start
            except asyncio.CancelledError as error:
                if self._ending is None:
                    raise
                raise KernelNotStarted("it was ended before it had begun to start") from error
            except KernelNotStarted as error:
                if self._ending is not None:
                    raise
                # Another process may have taken one of its ports.
                log.warning("session %s: no kernel at attempt %d: %s", self.name, attempt, error)
                if attempt == 2 or self.adopted:
                    raise
            else:
                self._started_at, self._idle_since = now(), time.monotonic()
                kernel.leaves.add_done_callback(self._on_kernel_leaves)
                break
            finally:
                self._start = None
        return kernel

    def _on_kernel_leaves(self, _: object) -> None:
        in_background(self._discard_kernel_when_idle())

    async def _discard_kernel_when_idle(self) -> None:
        """Discard a kernel that was asked to exit while no job ran; otherwise the job's end does it."""
        async with self._turn:
            if self._kernel is not None and self._kernel.leaves.done():
                await self._discard_kernel()

    async def _discard_kernel(self) -> None:
        """Discard the kernel, if there is one, and end the jobs that have started in it."""
        kernel, self._kernel, self._snapshot = self._kernel, None, None
        if kernel is not None:
            await kernel.wind_up()
            await kernel.discard()
        for job in [job for job in self._queue if job.has_begun]:
            self._queue.remove(job)
            job.finish(KERNEL_GONE)
        self._number_queue()

    def _schedule_snapshot(self) -> None:
        """Schedule one snapshot for recent jobs: it costs the kernel as much as a short job."""
        if not self._snapshot_due:
            self._snapshot_due = True
            asyncio.get_running_loop().call_later(SNAPSHOT_DELAY_SEC, lambda: in_background(self._take_snapshot()))

    async def _take_snapshot(self) -> None:
        self._snapshot_due = False
        kernel = self.kernel
        if kernel is None or self._start is not None:
            return
        with suppress(KernelDied, KernelSilent):
            listing = await kernel.request("variables", patience=VARIABLES_TIMEOUT_SEC)
            if kernel is self._kernel:
                self._snapshot = {"source": "snapshot", "as_of": now(), **listing}

    def _number_queue(self) -> None:
        ahead = self._running.job if self._running and not self._running.is_waiting else self._running_job
        for position, job in enumerate(self._waiting, start=1):
            job.place = Place(position, ahead.id if ahead else None)


def _matching(snapshot: dict[str, Any], pattern: str | None) -> dict[str, Any]:
    if pattern is None:
        return snapshot
    rows = [row for row in snapshot["variables"] if fnmatchcase(row["name"], pattern)]
    return {**snapshot, "variables": rows, "total": len(rows)}
