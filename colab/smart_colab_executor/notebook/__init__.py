"""The notebook's start cell: it installs, starts the executor, opens a tunnel and shows what runs.

Runs in the notebook's own kernel before anything is installed: on the standard library alone.
"""
