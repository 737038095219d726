"""Runs the iterations of a loop on a cluster of `distributed`, from the session's kernel.

Runs in the kernel, as `_smart_colab.on_cluster`. Code goes to the workers as text, and results come back in their plain
form, so nothing of the user's is pickled. Iterations are sent in batches, in order, and reported as they finish. If a
worker process ends, the scheduler gives its batches to others.
"""

from __future__ import annotations

import ast
import queue
import uuid
from collections import deque
from contextlib import suppress
from time import monotonic
from typing import Any

from . import cluster_view, clusters, loops, worker_names
from .cluster_work import Batch, Finished, NotOnCluster, SetupFailed, Work, WorkFailed, deferred, interrupted
from .clusters import ClusterError
from .worker_package import WorkerPackage

AWAITS = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
# How long a batch should run, and how much longer than the last one it may be.
BATCH_SEC = 0.5
MAX_GROWTH = 8
MAX_BATCH = 10_000
# Batches in flight for each thread of a worker, and beyond these.
AHEAD_PER_THREAD = 2
AHEAD = 2
# Batches in flight on however many threads: the gaps that they may leave among the finished iterations.
MAX_IN_FLIGHT = 10_000
# How far the iterations in flight may lie apart: the bridge keeps what has finished ahead of one that has not.
MAX_AHEAD = 1_000_000
LOOK_INTERVAL_SEC = 1.0
STATUS_INTERVAL_SEC = 60.0


def run(work: Work) -> None:
    """Run the loop to its end. Raises ClusterError, and what the code raises."""
    body, setup = _parsed(work.body, "loop_code"), _parsed(work.setup, "setup_code")
    if fault := worker_names.fault(body, setup, work.variables):
        raise NotOnCluster(fault, [f"NotOnCluster: {fault}"])
    if crowding := clusters.crowding(work.cluster):
        work.say("stderr", f"[cluster: {crowding}]\n")
    cluster = clusters.open_cluster(work.cluster, work.variables)
    try:
        if shared := worker_names.shared(body, setup):
            work.say(
                "stderr",
                f"[the code changes {', '.join(shared)}, of which each worker process has its own: what it puts there "
                "stays there. The value of the last expression comes back.]\n",
            )
        _Loop(work, cluster).run()
    except KeyboardInterrupt:
        raise interrupted() from None
    finally:
        cluster.close()


def _parsed(text: str, part: str) -> ast.Module:
    try:
        # What does not compile is found here, not on the workers.
        tree = ast.parse(text)
        compile(loops.rewrite_one(tree) if part == "loop_code" else tree, part, "exec", AWAITS, dont_inherit=True)
        return ast.parse(text)
    except SyntaxError as error:
        raise WorkFailed.of(
            {
                "ename": "SyntaxError",
                "evalue": f"{part}: {error.msg} (line {error.lineno})",
                "traceback": [f"SyntaxError: {part}: {error.msg} (line {error.lineno})"],
            }
        ) from None


class _Loop:
    def __init__(self, work: Work, cluster: clusters.Cluster) -> None:
        self._work, self._cluster, self._client = work, cluster, cluster.client
        self._key = f"smart-colab-{uuid.uuid4().hex[:12]}"
        # None wakes it.
        self._arrived: queue.SimpleQueue[Batch | None] = queue.SimpleQueue()
        self._in_flight: dict[int, Batch] = {}
        # A worker may have begun them all the same.
        self._cancelled: dict[int, Batch] = {}
        self._sent = 0
        # The rest of batches that were not run to their end.
        self._rests: deque[list[int]] = deque()
        # Those whose workers ended each time: one of them may be the cause.
        self._suspects: deque[int] = deque()
        self._reported = 0
        # No iteration begins from here on.
        self._limit = len(work.numbers)
        # The iteration just before the limit, if it ends the loop; it is shown when all before it are reported.
        self._last: Finished | None = None
        self._is_interrupted = False
        self._batches = 0
        self._seconds: float | None = None
        self._size = 1
        self._threads = 0
        self._workers: set[str] = set()
        self._lost = 0
        self._has_shown_setup = False
        self._looked_at = self._said_at = 0.0
        self._package = WorkerPackage()

    def run(self) -> None:
        client, work = self._client, self._work
        arguments = {"setup": work.setup, "body": work.body, "skip_errors": work.skip_errors}
        try:
            self._look()
            client.subscribe_topic(self._key, self._on_start)
            client.register_plugin(self._package.plugin(self._key, arguments, is_own=self._cluster.is_own))
            with deferred(self._interrupt):
                while not self._is_interrupted and self._send():
                    self._receive()
                if self._in_flight:
                    self._finish_begun()
            if self._in_flight or self._next_positions():
                raise KeyboardInterrupt
            self._end()
        except (OSError, TimeoutError) as error:
            raise ClusterError(self._gone(error)) from error
        finally:
            self._sum_up()
            self._leave()

    def _interrupt(self) -> None:
        self._is_interrupted = True
        self._arrived.put(None)

    def _finish_begun(self) -> None:
        """Let the iterations that run end, and report them; begin no other."""
        self._say("interrupted: iterations that run may finish, and no other begins; interrupt again to end at once")
        self._end_on_workers()
        while self._in_flight and self._threads:
            self._receive()

    def _end(self) -> None:
        """Show the iteration that ends the loop, if one does: all before it are reported. Raises what it has raised."""
        last, self._last = self._last, None
        if last is None:
            return
        if last.error is not None:
            self._show(last.output)
            raise WorkFailed.of(last.error)
        self._report(self._limit - 1, last)
        self._work.uncounted += self._reported - self._limit
        self._reported = self._limit

    # --- sending ------------------------------------------------------------------------------------------------------

    def _send(self) -> bool:
        """Send what there is room for; return whether any iteration is in flight."""
        most = min(AHEAD_PER_THREAD * self._threads + AHEAD, MAX_IN_FLIGHT)
        while len(self._in_flight) < most and (positions := self._next_positions()):
            self._batches += 1
            batch = Batch(self._batches, positions, is_alone=not self._in_flight)
            numbers = [self._work.numbers[position] for position in positions]
            batch.future = self._client.submit(
                self._package.run_batch,
                self._key,
                self._package.name,
                batch.number,
                numbers,
                not self._has_shown_setup,
                key=f"{self._key}-{batch.number}",
                pure=False,
            )
            self._in_flight[batch.number] = batch
            self._await(batch)
        return bool(self._in_flight)

    def _await(self, batch: Batch) -> None:
        batch.future.add_done_callback(lambda _future: self._arrived.put(batch))

    def _next_positions(self) -> list[int]:
        while self._suspects and self._suspects[0] >= self._limit:
            self._suspects.popleft()
        if self._suspects:  # alone
            return [] if self._in_flight else [self._suspects.popleft()]
        while self._rests:
            if positions := [position for position in self._rests.popleft() if position < self._limit]:
                return positions
        oldest = next(iter(self._in_flight.values()), None)
        if oldest is not None and self._sent - oldest.positions[0] >= MAX_AHEAD:
            return []
        first = self._sent
        self._sent = min(first + self._next_size(), self._limit)
        return list(range(first, self._sent))

    def _next_size(self) -> int:
        if self._seconds is None:
            return 1
        # The last ones are shared out among all workers.
        share = -(-(self._limit - self._sent) // max(AHEAD_PER_THREAD * self._threads, 1))
        wanted = int(BATCH_SEC / max(self._seconds, BATCH_SEC / MAX_BATCH))
        self._size = max(1, min(wanted, MAX_GROWTH * self._size))
        return max(1, min(self._size, share))

    # --- receiving ----------------------------------------------------------------------------------------------------

    def _receive(self) -> None:
        """Take what has arrived, and report it; wait a while for the first."""
        arrived = []
        with suppress(queue.Empty):
            arrived.append(self._arrived.get(timeout=LOOK_INTERVAL_SEC))
            while True:
                arrived.append(self._arrived.get_nowait())
        batches = [batch for batch in arrived if batch is not None and batch.number in self._in_flight]
        finished = [batch for batch in batches if batch.future.status == "finished"]
        if finished:
            for batch, came in zip(finished, self._gathered(finished), strict=True):
                if batch.number in self._in_flight:
                    self._take(batch, came)
        for batch in batches:
            if batch not in finished and batch.number in self._in_flight:
                self._take_unfinished(batch)
        if monotonic() - self._looked_at >= LOOK_INTERVAL_SEC:
            self._look()

    def _gathered(self, batches: list[Batch]) -> list[Any]:
        """Return results; the exception in place of one that there is none of any more."""
        futures = [batch.future for batch in batches]
        try:
            return list(self._client.gather(futures))
        except Exception:  # noqa: BLE001, RUF100 - one by one, to see whose it is
            return [_result(future) for future in futures]

    def _take(self, batch: Batch, came: Any) -> None:
        if isinstance(came, BaseException):
            self._take_unfinished(batch)
            return
        del self._in_flight[batch.number]
        if (output := came.get("setup_output")) and not self._has_shown_setup:
            self._has_shown_setup = True
            self._show(output)
        if (error := came.get("setup_error")) is not None:
            raise SetupFailed(f"{error['ename']}: {error['evalue']}", error["traceback"])
        done = [Finished(*one) for one in came["done"]]
        for position, one in zip(batch.positions, done, strict=False):
            self._finish(position, one)
        if rest := batch.positions[len(done) :]:
            self._rests.append(rest)
        if done:
            mean = came["seconds"] / len(done)
            self._seconds = mean if self._seconds is None else (self._seconds + mean) / 2

    def _take_unfinished(self, batch: Batch) -> None:
        """Act on a batch without results: lost with their worker, or the scheduler has ended, or it has failed."""
        if batch.future.status == "cancelled":
            raise ClusterError(self._gone(None))
        if batch.future.status == "error" and self._is_interrupted:
            del self._in_flight[batch.number]
        elif batch.future.status == "error":
            self._take_failed(batch)
        else:
            self._await(batch)  # they are made again

    def _take_failed(self, batch: Batch) -> None:
        """Act on a batch whose workers ended again and again."""
        del self._in_flight[batch.number]
        if not batch.is_alone or len(batch.positions) > 1:
            # The scheduler blames all tasks that wait at a worker when it ends.
            self._suspects.extend(batch.positions)
            return
        error = batch.future.exception()
        ename = type(error).__name__
        if ename == "KilledWorker":
            evalue = (
                "the worker process that ran this iteration ended each time that it was tried: it may use too much "
                "memory, or end its own process"
            )
        else:
            evalue = str(error)[:1000]
        described = {"ename": ename, "evalue": evalue, "traceback": [f"{ename}: {evalue}"]}
        [position] = batch.positions
        self._finish(position, Finished([], error=described, end=None if self._work.skip_errors else "stop"))

    def _finish(self, position: int, one: Finished) -> None:
        """Report an iteration that has run, or keep the first one that ends the loop."""
        is_beyond = position >= self._limit
        if is_beyond and (one.end is not None or self._has_broken):
            self._work.uncounted += 1
        elif one.end is not None:
            self._end_after(position, one)
        else:
            self._report(position, one)

    @property
    def _has_broken(self) -> bool:
        return self._last is not None and self._last.end == "break"

    def _end_after(self, position: int, one: Finished) -> None:
        """Begin no iteration after this one. Those before it run to their end; later ones do, too, unless it breaks."""
        self._work.uncounted += self._last is not None
        self._limit, self._last = position + 1, one
        if one.error is not None and self._in_flight:
            number, ename = self._work.numbers[position], one.error["ename"]
            self._say(f"iteration {number} failed ({ename}): those before it, and those that run, may finish")
        beyond = [batch for batch in self._in_flight.values() if batch.positions[0] >= self._limit]
        if not self._has_broken:
            beyond = [batch for batch in beyond if not batch.starts]
        for batch in beyond:
            self._cancelled[batch.number] = self._in_flight.pop(batch.number)
        self._client.cancel([batch.future for batch in beyond], force=True)

    def _report(self, position: int, one: Finished) -> None:
        self._show(one.output)
        self._work.report(position, one.result, one.marked, one.error, one.end)
        self._reported += 1

    def _show(self, output: list[tuple[str, str]]) -> None:
        for name, text in output:
            self._work.say(name, text)

    # --- the cluster --------------------------------------------------------------------------------------------------

    def _on_start(self, event: Any) -> None:
        """Note that a worker begins a batch; called in the client's thread."""
        if (batch := self._in_flight.get(event[1]) or self._cancelled.get(event[1])) is not None:
            batch.starts += 1
            if batch.starts > 1:
                self._work.began_again += len(batch.positions)

    def _look(self) -> None:
        """See which workers there are, and say what has changed."""
        info = self._client.scheduler_info(n_workers=-1)
        if not info or self._client.status not in ("running", "connecting"):
            raise ClusterError(self._gone(None))
        workers = info["workers"]
        self._threads = sum(worker["nthreads"] for worker in workers.values())
        now = set(workers)
        left, is_first = len(self._workers - now), not self._said_at
        self._lost += left
        if now - self._workers or is_first:
            clusters.check_python(self._cluster)
        has_changed, self._workers = now != self._workers, now
        self._looked_at = monotonic()
        begun = sum(batch.starts > 0 for batch in self._in_flight.values())
        waiting = len(self._in_flight) - begun
        view = cluster_view.view(self._cluster, workers, running=begun, waiting=waiting)
        self._work.show(view)
        if is_first or has_changed or self._looked_at - self._said_at >= STATUS_INTERVAL_SEC:
            of = f" of {view['limit_bytes'] / 1e9:.1f}" if view["limit_bytes"] else ""
            where = f" at {view['scheduler']}, dashboard {view['dashboard']}" if is_first else ""
            gone = f" ({left} ended)" if left else ""
            self._say(
                f"{_count(len(now), 'worker')}{gone} with {_count(self._threads, 'thread')}{where}; memory "
                f"{view['memory_bytes'] / 1e9:.1f}{of} GB; {_count(len(self._in_flight), 'task')} in flight"
            )
            self._said_at = self._looked_at

    def _sum_up(self) -> None:
        """Say what has become of the iterations."""
        work = self._work
        work.uncounted += self._last is not None
        unreported = [*self._in_flight.values(), *self._cancelled.values()]
        work.uncounted += sum(len(batch.positions) for batch in unreported if batch.starts)
        said = [f"{_count(self._reported, 'iteration')} in {_count(self._batches, 'task')}"]
        if (again := work.began_again) or self._lost:
            said.append(f"{_count(self._lost, 'worker')} ended, and {_count(again, 'iteration')} began again")
        if work.uncounted:
            said.append(f"up to {_count(work.uncounted, 'other')} ran without counting")
        if self._batches:
            self._say("; ".join(said))

    def _say(self, text: str) -> None:
        self._work.say("stderr", f"[cluster: {text}]\n")

    def _gone(self, error: BaseException | None) -> str:
        why = f" ({type(error).__name__}: {error})" if error is not None else ""
        return f"the scheduler at {self._cluster.address} has ended or cannot be reached any more{why}"

    def _leave(self) -> None:
        """Have the workers stop after their iteration, and drop what they made."""
        with suppress(Exception):
            self._client.cancel([batch.future for batch in self._in_flight.values()], force=True)
        with suppress(Exception):
            self._client.unsubscribe_topic(self._key)
        self._end_on_workers()

    def _end_on_workers(self) -> None:
        """Have batches return after the iteration that runs, and those that have not begun, empty."""
        with suppress(Exception):
            self._client.sync(
                self._client._unregister_worker_plugin, name=self._key, callback_timeout=clusters.CLOSE_TIMEOUT_SEC
            )


def _result(future: Any) -> Any:
    try:
        return future.result()
    except Exception as error:  # noqa: BLE001, RUF100
        return error


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
