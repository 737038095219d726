#!/usr/bin/env bash
# A DuckDBPyRelation is lazy, so inspecting one should cost nothing: its columns and types are known without running it.
#
# `relation.shape`, `len(relation)` and with it `bool(relation)` run the whole query to count its rows (duckdb 2.0.1).
# So do `if relation:` and `hasattr(relation, "shape")`, which every variable viewer calls: it takes as long as the
# query, reads its files, and raises IOException, which is not an AttributeError, if one of them is missing.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" -q install duckdb==2.0.1

"$folder/venv/bin/python" - "$folder" <<'PYTHON'
import sys
from pathlib import Path

import duckdb

file = Path(sys.argv[1]) / "table.csv"
file.write_text("a,b\n1,2\n")
relation = duckdb.connect().read_csv(str(file))
assert (relation.shape, len(relation), bool(relation)) == ((1, 2), 1, True)
file.unlink()  # whoever reads it now is found out


def look(name, ask):
    try:
        said = ask()
    except Exception as error:
        said = type(error).__name__
    print(f"{name:30} {said}")
    return said


print("duckdb", duckdb.__version__, "- the relation's file is missing")
seen = [
    look("relation.columns", lambda: relation.columns),
    look('hasattr(relation, "columns")', lambda: hasattr(relation, "columns")),
    look('hasattr(relation, "shape")', lambda: hasattr(relation, "shape")),
    look("len(relation)", lambda: len(relation)),
    look("bool(relation)", lambda: bool(relation)),
]
sys.exit(seen != [["a", "b"], True, "IOException", "IOException", "IOException"])
PYTHON
