#!/usr/bin/env bash
# `pandas.read_pickle` promises to read what older versions of pandas wrote, and has code for their renamed classes.
#
# A frame with columns backed by Arrow, written by `to_pickle` of pandas 2.2.3, is read by pandas 3.1.1 without an error,
# and sums and prints (its `dtype:` line is missing, for the error behind it is swallowed). But each use of a type fails:
# `dtypes`, `info()`, `to_parquet()`, `merge()`, `astype()`, with "'ArrowDtype' object has no attribute '_storage'".
# A `TimedeltaIndex` in the same file silently loses its `freq`, a `DatetimeIndex` keeps it.
#
# Why it matters: a check that the file loads and that its sums are right passes; the frame cannot be written again.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
for version in 2.2.3 3.1.1; do
    python3 -m venv "$folder/$version"
    "$folder/$version/bin/pip" -q install pandas==$version numpy==2.2.6 pyarrow==22.0.0
done

cat >"$folder/write.py" <<'PYTHON'
import sys

import pandas

numbers = pandas.Series([1, None], dtype="int64[pyarrow]")
times = pandas.timedelta_range("1h", periods=2, freq="h"), pandas.date_range("2026-01-01", periods=2, freq="h")
pandas.to_pickle((numbers.to_frame("a"), *times), sys.argv[1])
PYTHON
cat >"$folder/read.py" <<'PYTHON'
import sys

import pandas

frame, spans, times = pandas.read_pickle(sys.argv[1])
print(pandas.__version__, repr(frame["a"]), frame["a"].sum(), spans.freq, times.freq)
failed = []
for use in (lambda: frame.dtypes.to_string(), lambda: frame.to_parquet(sys.argv[1]), lambda: frame.merge(frame, on="a")):
    try:
        use()
    except AttributeError as error:
        print("AttributeError:", error)
        failed.append(str(error))
same = {"'ArrowDtype' object has no attribute '_storage'"}
sys.exit(set(failed) != same or len(failed) != 3 or frame["a"].sum() != 1 or spans.freq is not None or times.freq is None)
PYTHON
"$folder/2.2.3/bin/python" "$folder/write.py" "$folder/pickled"
"$folder/3.1.1/bin/python" "$folder/read.py" "$folder/pickled"
