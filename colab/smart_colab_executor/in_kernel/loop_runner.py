"""Runs a rewritten loop and reports each of its iterations.

Runs in the kernel, as `_smart_colab.loop_runner`; standard library only. A report is a line in a file that the executor
reads, and that outlives the kernel and the executor. The number of reports is sent among the output, to keep the order;
after the cell's end the executor reads the rest without being told.
"""

from __future__ import annotations

import ast
import os
import sys
import threading
from time import monotonic
from typing import TYPE_CHECKING, Any

from . import cluster_work, loops, on_cluster, tracebacks
from .jsonline import dump
from .messages import CLUSTER_TYPE, REPORTED_TYPE, RERUNS_TYPE, ExitCalled
from .plain_values import plain

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from .guest import GuestOutput
    from .kernel_output import Output

# How often a loop without output announces its reports.
REPORT_INTERVAL_SEC = 0.02


class ReportNotWritten(Exception):
    """An iteration ran, but its report could not be written; the loop does not continue unreported."""


class LoopRunner:
    """Rewrites the next cell into a loop and reports each of its iterations."""

    def __init__(self, shell: Any, output: Output | GuestOutput) -> None:
        self._shell = shell
        self._output = output
        self._reports: Reports | None = None
        self._prepared = False
        self._reported = True
        self._path = ""
        self._start = self._total = self._completed = self._iteration = 0
        self._numbers: Sequence[int] = ()
        self._skip_errors = False
        self._cluster = self._worker_setup = self._text = ""
        self._result: object = None
        self._error: dict[str, Any] | None = None
        self._exits = False
        self._should_run_async = shell.should_run_async

    def install(self) -> None:
        """See every cell from now on."""
        self._shell.should_run_async = self._loop_should_run_async
        self._shell.ast_transformers.append(self)
        # A body that does not parse never reaches `visit`: the next cell must not become the loop.
        self._shell.events.register("post_execute", self._forget)

    def remove(self) -> None:
        """See no further cell."""
        self._shell.should_run_async = self._should_run_async
        self._shell.ast_transformers.remove(self)
        self._shell.events.unregister("post_execute", self._forget)

    def prepare(
        self,
        start: int,
        stop: int,
        total: int,
        reports: str,
        numbers: list[int] | None,
        on_error: str,
        cluster: str | None = None,
        worker_setup: str | None = None,
    ) -> None:
        """Make the next cell a loop over `numbers`, or from `start` up to `stop`, which reports to `reports`.

        With a `cluster` its iterations run there, in processes that have run `worker_setup`.
        """
        self._start, self._total, self._skip_errors = start, total, on_error == "skip"
        self._numbers = range(start, stop) if numbers is None else numbers
        self._path = reports
        self._cluster, self._worker_setup, self._text = cluster or "", worker_setup or "", ""
        self._prepared = True

    def visit(self, tree: ast.Module) -> ast.Module:
        """Rewrite the prepared cell; IPython calls this with each syntax tree."""
        if not self._prepared:
            return tree
        self._prepared = False
        if self._cluster:
            self._text = self._text or ast.unparse(tree)
            return loops.rewrite_to_call(tree, "run_on_cluster")
        return loops.rewrite(tree, skip_errors=self._skip_errors)

    def iterations(self) -> Iterator[int]:
        """Yield the iterations; report one when the next is requested. Raises ReportNotWritten."""
        self._open_reports()
        for completed, iteration in enumerate(self._numbers, self._start + 1):
            self._completed, self._iteration = completed, iteration
            self._result, self._error, self._reported = None, None, False
            yield iteration
            self._report(None)
            if self._exits:
                self.exit()

    def run_on_cluster(self) -> None:
        """Run all iterations on a cluster, and report them. Raises ReportNotWritten, and as `on_cluster.run` does."""
        self._open_reports()
        parent = self._shell.kernel.get_parent("shell")
        self._completed = self._start
        work = cluster_work.Work(
            cluster=self._cluster,
            setup=self._shell.transform_cell(self._worker_setup),
            body=self._text,
            numbers=self._numbers,
            skip_errors=self._skip_errors,
            variables=self._shell.user_ns,
            report=self._report_from_cluster,
            say=lambda name, text: getattr(sys, name).write(text),
            show=lambda view: self._output.send(CLUSTER_TYPE, view, parent),
        )
        try:
            on_cluster.run(work)
        finally:
            counts = {"began_again": work.began_again, "uncounted": work.uncounted}
            self._output.send(RERUNS_TYPE, counts, parent)

    def _report_from_cluster(self, position: int, result: Any, marked: Any, error: Any, end: str | None) -> None:
        self._completed, self._iteration = self._completed + 1, self._numbers[position]
        self._error = error
        self._write_report(end, result, marked)

    def keep_result(self, value: object) -> None:
        """Store the value of the body's last expression."""
        self._result = value

    def skip_error(self) -> None:
        """Note the exception being handled, for which the iteration is skipped."""
        error = sys.exc_info()[1]
        if error is not None:
            self._error = tracebacks.describe(error)

    def finish_loop(self) -> None:
        """Report the iteration that broke out of the loop, if one did."""
        if not self._reported:
            self._report("break")

    def exit(self) -> None:
        """Raise ExitCalled in a running loop, because the kernel has to end."""
        self._exits = True
        if self._reports is not None:
            raise ExitCalled("the code asked its Python process to exit, so the loop ends here")

    def end_loop(self) -> None:
        """Close the file of reports, however the loop ended."""
        reports, self._reports = self._reports, None
        if reports is not None:
            reports.close(has_failed=sys.exc_info()[0] is not None)

    def _open_reports(self) -> None:
        try:
            self._reports = Reports(self._path, self._output, self._shell.kernel.get_parent("shell"))
        except OSError as error:
            raise ReportNotWritten(
                f"no iteration was run: the file for reports cannot be opened ({error.strerror})"
            ) from None

    def _report(self, message: str | None) -> None:
        (result, marked), self._result = plain(self._result), None
        self._write_report(message, result, marked)

    def _write_report(self, message: str | None, result: Any, marked: Any) -> None:
        if self._reports is None:
            raise ReportNotWritten("the loop has ended")
        try:
            self._reports.add(self._completed, self._iteration, self._total, message, self._error, marked, result)
        except OSError as error:
            raise ReportNotWritten(
                f"iteration {self._iteration} has run, but its report could not be written ({error.strerror}); "
                "the loop ends here, because an unreported iteration would be run again"
            ) from None
        self._reported = True

    def _forget(self) -> None:
        self._prepared = False

    def _loop_should_run_async(self, raw_cell: str, **details: Any) -> bool:
        cell = details.get("transformed_cell")
        if not self._prepared or cell is None or threading.current_thread() is not threading.main_thread():
            return bool(self._should_run_async(raw_cell, **details))
        if self._cluster:
            self._text = cell
            return False
        try:
            return loops.awaits(ast.parse(cell))
        except (SyntaxError, ValueError):
            return False


class Reports:
    """The file of one loop's reports, created by the executor, and the number announced to it."""

    def __init__(self, path: str, output: Output | GuestOutput, parent: dict[str, Any]) -> None:
        self._output = output
        self._parent = parent
        self._process = os.getpid()
        self._size = self._count = self._announced = 0
        self._announced_at = monotonic()
        self._is_scheduled = self._is_closed = False
        # Windows would write \r\n in text mode.
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | getattr(os, "O_BINARY", 0))
        output.before = self._announce

    def add(
        self,
        completed: int,
        iteration: int,
        total: int,
        message: str | None,
        error: object,
        marked: object,
        result: object,
    ) -> None:
        """Write the report of a finished iteration. Raises OSError."""
        if os.getpid() != self._process:
            return  # a fork that ran on into the loop, which belongs to its parent
        self._output.settle()
        # The result comes last: the executor drops one that it cannot parse.
        self._write(
            b'{"completed":%d,"total":%d,"message":%b,"iteration":%d,"error":%b,"marked":%b,"result":%b}\n'
            % (completed, total, dump(message), iteration, dump(error), dump(marked), dump(result))
        )
        if self._output.is_fresh:
            # Counted after the flush: the sending thread may announce reports meanwhile.
            self._output.flush()
            self._count += 1
            self._announce()
            return
        self._count += 1
        if monotonic() - self._announced_at >= REPORT_INTERVAL_SEC:
            self._announce()
        elif not self._is_scheduled:
            self._is_scheduled = True
            self._output.later(REPORT_INTERVAL_SEC, self._announce_scheduled)

    def close(self, *, has_failed: bool) -> None:
        """Write no more; announce the last reports if an error follows, or else when output of the cell does."""
        if has_failed:
            self._output.before = None
            self._announce()
        self._is_closed = True
        os.close(self._file)

    def _write(self, line: bytes) -> None:
        rest = line
        try:
            # One write, if the disk has room for all of it.
            while rest:
                rest = rest[os.write(self._file, rest) :]
        except OSError:
            os.ftruncate(self._file, self._size)
            raise
        self._size += len(line)

    def _announce_scheduled(self) -> None:
        self._is_scheduled = False
        if not self._is_closed:
            self._announce()

    def _announce(self) -> None:
        """Have the executor read, at this place in the output, the reports written so far."""
        count = self._count
        if count > self._announced:
            self._announced, self._announced_at = count, monotonic()
            self._output.send(REPORTED_TYPE, {"count": count}, self._parent)
