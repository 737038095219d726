#!/usr/bin/env bash
# One would expect: `tolist()` gives times as `datetime`s, whatever their unit, and says what is missing.
#
# What happens (numpy 2.4.6): an array of datetime64[us] has datetimes in its list, one of datetime64[ns], which is
# what pandas makes, has bare integers; NaT and the masked elements of a masked array are both None there. And
# `numpy.ma.masked.item()` is 0.0, so that whoever asks a scalar for its value gets a number for a missing one.
#
# Why it matters: a program that writes results as JSON by `tolist()` and `item()` writes wrong values, and no error.
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
