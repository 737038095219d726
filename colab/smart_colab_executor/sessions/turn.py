"""A job's turn: one of its steps in its session's kernel. For the kernels' thread only."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, replace
from typing import Any

from ..in_kernel.messages import QUESTION_TYPE, REPORTED_TYPE, WITHDRAWN_TYPE, ExitCalled
from ..jobs import outputs
from ..jobs.job import Ending, Job
from ..jobs.questions import Answer
from ..kernels.channels import KernelChannels
from ..kernels.executions import Execution, KernelDied, KernelLeft, KernelSilent
from ..kernels.loop_thread import in_background
from ..machine import probe
from .endings import (
    DISK_FULL,
    GOES_ON,
    INTERRUPTED,
    KERNEL_DIED,
    KERNEL_GONE,
    KERNEL_REPLACED,
    KILLED_AT_TIMEOUT,
    SUCCEEDED,
    UNKNOWN_EXIT,
    read_reply,
)
from .widget_show import WidgetShow

log = logging.getLogger(__name__)

INTERRUPT_GRACE_SEC = 5.0
# What was measured after one quick job is what there is before the next.
RECENT_SEC = 0.05
# Only a job's first step is compared with its end.
STEPS_RECENT_SEC = 0.5
ANNOUNCE_DELAY_SEC = 0.01
STILL_RUNS = "the code ignores the interrupt and still runs in the notebook's kernel: to end it, restart it in Jupyter"
STUCK = {"ename": "TimeoutError", "evalue": STILL_RUNS, "traceback": [f"TimeoutError: {STILL_RUNS}"]}


class Turn:
    """Runs one step of a job and handles the kernel's messages for it, also after the step's end."""

    def __init__(
        self, kernel: KernelChannels, job: Job, running: Callable[[], Turn | None], on_begin: Callable[[], None]
    ) -> None:
        """Prepare the turn; `running` returns the session's current turn, `on_begin` is called when the code starts."""
        self.job = job
        self._on_begin = on_begin
        self.disk_is_full = False
        self._kernel = kernel
        self._running = running
        self._widget_show = WidgetShow(kernel.widgets, job)
        self._is_over = self._has_begun = self._is_interrupted = self._is_recorded = False
        self._announcement: asyncio.TimerHandle | None = None
        # The kinds of messages that the step has shown.
        self._shown: set[str] = set()

    async def run(self) -> Ending | None:
        """Run the step; return the job's ending, GOES_ON if it has a next step, None if nothing has run yet.

        The kernel may have ended by then, or be about to exit.
        """
        kernel, job = self._kernel, self.job
        is_first = job.record.kernel_id is None
        try:
            ending = await self._run_step()
            goes_on = ending == SUCCEEDED and job.end_step()
        except OSError:
            return DISK_FULL
        except KernelLeft:
            if self._is_interrupted:
                return INTERRUPTED
            if kernel.is_adopted:
                # A cell of the notebook's has failed, upon which Jupyter drops those that wait. This one has not run.
                return GOES_ON if job.has_begun else None
            if is_first:
                return KERNEL_REPLACED if job.request.kernel_id else None
            return KERNEL_GONE
        except KernelDied:
            if kernel.is_adopted and not self._has_begun:
                return KERNEL_GONE  # where it began last, nothing may have been received of it
            return replace(KERNEL_DIED, kernel_exit=kernel.exit or UNKNOWN_EXIT)
        if kernel.leaves.done():
            reason = "exited" if ending == SUCCEEDED else ending.reason
            return replace(ending, state="failed" if goes_on else ending.state, reason=reason, variables_lost=True)
        if goes_on:
            return INTERRUPTED if self._is_interrupted else GOES_ON
        return ending

    @property
    def is_waiting(self) -> bool:
        """Whether the job waits in an adopted kernel's queue for its first step."""
        return self._kernel.is_adopted and not self.job.has_begun and not self.job.is_final

    def interrupt(self) -> None:
        """Interrupt the step; the job's next steps do not run."""
        self._is_interrupted = True
        # A kernel of our own ignores the signal before the cell has started; it is sent when it starts. From an adopted
        # one the cell is withdrawn.
        if self._has_begun or self._kernel.is_adopted:
            in_background(self._kernel.interrupt())

    async def answer(self, answer: Answer) -> None:
        """Answer the code's question. Raises NotAsking."""
        questions = self.job.questions
        if not questions.take(answer):
            return
        try:
            is_taken = await self._kernel.request("answer", **asdict(answer))
        except KernelSilent:
            return  # it has the answer once it reads its messages
        except KernelDied:
            is_taken = False
        if not is_taken:
            raise questions.forget(answer.number)

    def end(self, *, shows: bool) -> None:
        """End the turn; `shows`: the job shows the final state of its widgets."""
        if shows:
            self._widget_show.end()
        if self._announcement is not None:
            self._announcement.cancel()
        self._is_over = True

    async def _run_step(self) -> Ending:
        """Start the step and wait for its end. Raises OSError, KernelDied, KernelLeft."""
        kernel, job = self._kernel, self.job
        memory = probe.memory(STEPS_RECENT_SEC if job.has_begun else RECENT_SEC)
        # In an adopted kernel it begins after the notebook's cells before it; but a loop's file is needed then.
        if not kernel.is_adopted or job.step.batch is not None:
            self._begin(memory)
        step, loop = job.step, job.loop_arguments()
        execution = kernel.submit(
            step.message_id,
            step.code,
            self._on_output,
            memory,
            loop,
            is_repeated=step.is_repeated,
            may_ask=job.request.answers,
        )
        return await self._follow(execution)

    def _begin(self, memory: probe.Memory) -> None:
        """Record the beginning of the step. Raises OSError."""
        kernel = self._kernel
        self.job.begin_step(kernel.id, kernel.execution_count + 1, memory, kernel.memory_mb)
        self._is_recorded = True
        # A quick job has ended by then, and wakes those who wait for it once.
        self._announcement = asyncio.get_running_loop().call_later(ANNOUNCE_DELAY_SEC, self.job.announce)
        self._on_begin()

    async def _follow(self, execution: Execution) -> Ending:
        """Wait for the end of the cell, at most the job's timeout. Raises KernelDied, KernelLeft."""
        kernel = self._kernel
        if kernel.is_adopted:
            ends = (execution.begun, execution.ended, kernel.died)
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        timed_out = not await kernel.wait(execution, self.job.request.timeout_sec)
        finished = asyncio.ensure_future(kernel.finish(execution)) if timed_out else None
        if finished is not None:
            await kernel.interrupt()
            await asyncio.wait((finished,), timeout=INTERRUPT_GRACE_SEC)
            if not finished.done() and kernel.is_adopted:
                self._on_output("error", STUCK)
                in_background(_forget(finished))
                return Ending("timed_out", "timeout")
            if not finished.done():
                await kernel.discard()
                with suppress(KernelDied):
                    await finished
                return KILLED_AT_TIMEOUT
        reply = await (finished or kernel.finish(execution))
        if reply is not None and reply["status"] == "aborted":
            raise KernelLeft
        is_ok, error = read_reply(reply, self._shown)
        if error is not None:
            self._on_output("error", error)
        if timed_out:
            return Ending("timed_out", "timeout")
        # Code that handled the interrupt and finished has succeeded; `%run` and `%%capture` handle it and show it.
        if self._is_interrupted and self._has_begun and (not is_ok or "error" in self._shown):
            return INTERRUPTED  # whatever the exception's class
        if is_ok:
            return SUCCEEDED
        has_left = reply is not None and reply.get("ename") == ExitCalled.__name__
        return Ending("failed", "exited" if has_left else "python_error")

    def _on_output(self, kind: str, content: dict[str, Any]) -> None:
        if self.job.is_final:
            self._kernel.widgets.take(kind, content)
            self.job.log_late_output(outputs.plain_text(kind, content))
        elif kind == QUESTION_TYPE:
            self.job.ask(content["number"], content["prompt"])
        elif kind == WITHDRAWN_TYPE:
            self.job.questions.withdraw()
        elif self._is_over:
            self._take_late(kind, content)
        elif kind == "execute_input":
            self._has_begun = True
            try:
                if not self._is_recorded:
                    self._begin(probe.memory())
            except OSError as error:
                self._stop(error)
            if self._is_interrupted:
                in_background(self._kernel.interrupt())
        else:
            self._shown.add(kind)
            self._keep(kind, content)

    def _take_late(self, kind: str, content: dict[str, Any]) -> None:
        """Record output of the step's threads and child processes while the job continues."""
        running = self._running()
        if kind == REPORTED_TYPE:
            return  # the reports are taken at the step's end
        if running is not None and running.job is self.job:
            running._keep(kind, content)
        elif kind.startswith("comm_"):
            self._kernel.widgets.take(kind, content)
        else:  # bypasses the widgets: another job may be running
            try:
                self.job.output(kind, content)
            except OSError as error:
                self._warn(error)

    def _keep(self, kind: str, content: dict[str, Any]) -> None:
        if self.disk_is_full:
            return
        try:
            self._widget_show.take(kind, content)
        except OSError as error:
            self._stop(error)

    def _stop(self, error: OSError) -> None:
        self._warn(error)
        self.disk_is_full = True
        in_background(self._kernel.interrupt())

    def _warn(self, error: OSError) -> None:
        log.warning("job %s: its output cannot be written: %s", self.job.id, error)


async def _forget(finished: asyncio.Future[Any]) -> None:
    with suppress(KernelDied):
        await finished
