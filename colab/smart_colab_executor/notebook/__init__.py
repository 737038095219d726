"""The notebook's start cell: it installs, starts the executor, opens a tunnel and shows running code.

Runs in the notebook's own kernel before anything is installed: standard library only.
"""
