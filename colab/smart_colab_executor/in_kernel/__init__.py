"""Code that runs inside the user's process, as the package `_smart_colab`; standard library only.

`kernels/bootstrap.py` sends it there by name, so its modules import only each other, and nothing above.
The executor imports its protocol from here: message types, lines of JSON, the journal's layout.
"""
