#!/usr/bin/env bash
# Polars says that what it serializes may not be readable by another release. One would expect an error then, as LazyFrame
# gives one ("deserialization failed").
#
# An expression is read without one and computes something else: `ewm_mean(alpha=0.5)` pickled by polars 1.25.2 is
# `ewm_var()` in 1.31.0, and a column of variances comes back. `Expr` is pickled by the positions of its variants in an
# enumeration, without a version, and every release that adds a variant moves those after it. (From 1.31.0 to 1.33.1
# `head(1)` becomes `len()`, from either to 2.1.0 `sum() + 1` becomes `element() == element()`.)
#
# Why it matters: features are kept as expressions beside a model, and go to process pools and other machines as pickles.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
for version in 1.25.2 1.31.0; do
    python3 -m venv "$folder/$version"
    "$folder/$version/bin/pip" -q install polars==$version
done

cat >"$folder/write.py" <<'PYTHON'
import pickle
import sys

import polars

expression = polars.col("x").ewm_mean(alpha=0.5)
with open(sys.argv[1], "wb") as file:
    pickle.dump(expression, file)
print("written by", polars.__version__, expression, polars.DataFrame({"x": [3.5, 1.25, 2.75]}).select(expression)["x"].to_list())
PYTHON
cat >"$folder/read.py" <<'PYTHON'
import pickle
import sys

import polars

with open(sys.argv[1], "rb") as file:
    expression = pickle.load(file)
seen = polars.DataFrame({"x": [3.5, 1.25, 2.75]}).select(expression)["x"].to_list()
print("read by", polars.__version__, expression, seen)
sys.exit(str(expression) != 'col("x").ewm_var()' or seen[:2] != [0.0, 2.53125])
PYTHON
"$folder/1.25.2/bin/python" "$folder/write.py" "$folder/expression"
"$folder/1.31.0/bin/python" "$folder/read.py" "$folder/expression"
