#!/usr/bin/env bash
# One would expect: `tolist()` returns times as `datetime`s, whatever their unit, and marks missing values.
#
# What happens (numpy 2.4.6): an array of datetime64[us] becomes a list of datetimes, one of datetime64[ns], the unit
# that pandas uses, a list of integers; NaT and the masked elements of a masked array both become None. And
# `numpy.ma.masked.item()` is 0.0, so that reading a scalar's value yields a number for a missing one.
#
# Why it matters: a program that writes results as JSON by `tolist()` and `item()` writes wrong values without an error.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" -q install numpy==2.4.6
cat >"$folder/look.py" <<'PYTHON'
import datetime
import sys

import numpy

seen = (
    numpy.array(["2026-01-02"], "M8[us]").tolist(),
    numpy.array(["2026-01-02", "NaT"], "M8[ns]").tolist(),
    numpy.ma.array([1, 2], mask=[0, 1]).tolist(),
    numpy.ma.masked.item(),
)
print(numpy.__version__, *seen)
sys.exit(seen != ([datetime.datetime(2026, 1, 2)], [1767312000000000000, None], [1, None], 0.0))
PYTHON
"$folder/venv/bin/python" "$folder/look.py"
