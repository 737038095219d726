"""Sums up a cluster for those who watch an operation on it.

Runs in the kernel, as `_smart_colab.cluster_view`; standard library only. The sum is bounded, however many workers
there are, and comes from the scheduler through the client: it needs none of the dashboard's HTTP.
"""

from __future__ import annotations

from heapq import nlargest
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .clusters import Cluster

# Workers that are shown one by one: those whose memory is fullest.
MAX_WORKERS = 8
MAX_TEXT_CHARS = 200


def view(cluster: Cluster, workers: Mapping[str, Mapping[str, Any]], *, running: int, waiting: int) -> dict[str, Any]:
    """Return what the executor shows of a cluster with these workers, by `scheduler_info`.

    `running`, `waiting`: the operation's tasks that a worker has begun, and those sent that none has.
    """
    rows = [_row(address, worker) for address, worker in workers.items()]
    dashboard = cluster.dashboard
    return {
        "scheduler": cluster.address[:MAX_TEXT_CHARS],
        "dashboard": dashboard and dashboard[:MAX_TEXT_CHARS],
        "worker_count": len(rows),
        "threads": sum(row["threads"] for row in rows),
        "memory_bytes": sum(row["memory_bytes"] for row in rows),
        "limit_bytes": sum(row["limit_bytes"] or 0 for row in rows) or None,
        "tasks_running": running,
        "tasks_waiting": waiting,
        "workers": sorted(nlargest(MAX_WORKERS, rows, key=_fullness), key=lambda row: (len(row["name"]), row["name"])),
    }


def _row(address: str, worker: Mapping[str, Any]) -> dict[str, Any]:
    metrics = worker.get("metrics") or {}
    counts = metrics.get("task_counts") or {}
    return {
        "name": str(worker.get("name", address))[:MAX_TEXT_CHARS],
        "threads": int(worker["nthreads"]),
        "memory_bytes": int(metrics.get("memory") or 0),
        "limit_bytes": int(worker.get("memory_limit") or 0) or None,
        # Of all who use the cluster.
        "tasks_running": int(counts.get("executing", 0)),
        "tasks_waiting": int(counts.get("ready", 0)),
    }


def _fullness(row: Mapping[str, Any]) -> float:
    return float(row["memory_bytes"]) / (row["limit_bytes"] or 1e12)
