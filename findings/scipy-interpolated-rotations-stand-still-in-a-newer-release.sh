#!/usr/bin/env bash
# One would expect: an object of an older SciPy that a newer one unpickles works, or raises.
#
# What happens: a `Slerp` between 90 and 45 degrees, pickled by SciPy 1.14.1 and loaded by 1.17.1 without an error or a
# warning, answers 90 degrees at a quarter and at the half of the way, then jumps to 45 degrees at the end. Pickled and
# loaded by either version, it turns evenly. All attributes have the names and the values that they had; only that the
# newer version makes floats of whole numbers in `times` when it is created, and counts on that.
#
# Why it matters: camera paths and robots' trajectories are stored like this, and the end points, which one checks, are right.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
for version in 1.14.1 1.17.1; do
    python3 -m venv "$folder/$version"
    "$folder/$version/bin/pip" -q install scipy==$version numpy==2.2.6
done

cat >"$folder/slerp.py" <<'PYTHON'
import pickle
import sys

import scipy
from scipy.spatial.transform import Rotation, Slerp

what, name, *expected = sys.argv[1:]
if what == "write":
    slerp = Slerp([0, 1], Rotation.from_euler("z", [[90], [45]], degrees=True))
    with open(name, "wb") as file:
        pickle.dump(slerp, file)
with open(name, "rb") as file:
    slerp = pickle.load(file)
angles = slerp([0, 0.25, 0.5, 1]).as_euler("zyx", degrees=True)[:, 0].round(2).tolist()
print(what, scipy.__version__, "times", slerp.times.dtype, "angles", angles)
sys.exit(angles != [float(angle) for angle in expected])
PYTHON
"$folder/1.17.1/bin/python" "$folder/slerp.py" write "$folder/new" 90 78.75 67.5 45
"$folder/1.14.1/bin/python" "$folder/slerp.py" write "$folder/old" 90 78.75 67.5 45
"$folder/1.17.1/bin/python" "$folder/slerp.py" read "$folder/old" 90 90 90 45
