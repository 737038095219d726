"""The way in through a Jupyter kernel: the relay runs in that kernel, the launcher starts the executor beside it."""
