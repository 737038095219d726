#!/usr/bin/env bash
# A Series of dtype `str` is one dtype to the user, so `memory_usage()` and `nbytes` should be the same on every machine.
#
# They depend on whether pyarrow happens to be installed (pandas 3.1.1): with it the strings are counted, without it only
# the pointers to them, 8 kB for 1 MB. The dtype prints as `str` in both cases; only `deep=True` agrees, at the cost of
# visiting every string. A tool that shows memory usage is off by a factor of a hundred on half of the machines.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" -q install pandas==3.1.1

cat >"$folder/measure.py" <<'PYTHON'
import pandas

texts = pandas.Series([str(number) * 250 for number in range(1000, 2000)])
array = type(texts.array).__name__
print(pandas.__version__, texts.dtype, array, texts.nbytes, texts.memory_usage(index=False, deep=True))
PYTHON

without=$("$folder/venv/bin/python" "$folder/measure.py")
"$folder/venv/bin/pip" -q install pyarrow==26.0.1
with=$("$folder/venv/bin/python" "$folder/measure.py")
echo "version, dtype, array, nbytes, deep"
echo "without pyarrow: $without"
echo "with pyarrow:    $with"
[[ $without == "3.1.1 str StringArray 8000 "* && $with == "3.1.1 str ArrowStringArray 1008000 1008000" ]]
