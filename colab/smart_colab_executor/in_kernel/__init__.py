"""Code that runs inside the user's process, as the package `_smart_colab`, on the standard library alone.

`kernels/bootstrap.py` sends it there by name, so its modules import one another as neighbours and nothing above.
The executor reads its protocol from here: message types, lines of JSON, the journal's layout.
"""
