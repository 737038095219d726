#!/usr/bin/env bash
# One would expect: a pickled array is as protected as its copy. A hard mask promises that no assignment unmasks an element.
#
# What happens (numpy 2.2.6 and 2.4.6): `copy()`, `copy.copy` and `copy.deepcopy` keep the hard mask; `pickle` drops it without a
# word, though it keeps the mask, the fill value and subclasses. The next assignment writes over an element that was masked
# as invalid, and unmasks it.
#
# Why it matters: process pools, joblib and dask hand arrays over as pickles, so the same function overwrites missing
# values in a worker and leaves them alone in the same process.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"

cat >"$folder/look.py" <<'PYTHON'
import copy
import pickle
import sys

import numpy

hard = numpy.ma.array([1, 2], mask=[True, False], hard_mask=True)
seen = []
for other in (hard.copy(), copy.deepcopy(hard), pickle.loads(pickle.dumps(hard))):
    other[0] = 9
    seen.append((other.hardmask, other.tolist()))
print(numpy.__version__, *seen)
sys.exit(seen != [(True, [None, 2]), (True, [None, 2]), (False, [9, 2])])
PYTHON
for version in 2.2.6 2.4.6; do
    "$folder/venv/bin/pip" -q install numpy==$version
    "$folder/venv/bin/python" "$folder/look.py"
done
