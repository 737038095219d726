#!/usr/bin/env bash
# One would expect: a client that `cluster.get_client()` returns belongs to the caller, as the one of `Client(cluster)`
# does, so a library that is handed a cluster can use `with cluster.get_client() as client:`.
#
# What happens (distributed 2026.8.0): if the user has a client of that cluster, that very client is returned, and closing
# it closes the user's: their next `submit` raises `ClosedClientError`. Without one, a new client is made, which becomes the
# default one.
#
# Why it matters: whether a library breaks its user's session depends on what the user did before. `Client(cluster,
# set_as_default=False)` is always one's own.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" -q install distributed==2026.8.0
cat >"$folder/look.py" <<'PYTHON'
import sys

from distributed import Client, LocalCluster


def library(cluster):
    with cluster.get_client() as client:
        return client.submit(abs, -1).result()


with LocalCluster(processes=False, n_workers=1, dashboard_address=None) as cluster:
    mine = Client(cluster)
    print("the library's result:", library(cluster))
    print("my client afterwards:", mine.status)
    sys.exit(mine.status != "closed")
PYTHON
"$folder/venv/bin/python" "$folder/look.py"
