"""Jupyter kernels: their processes, channels, messages and leftovers. Independent of jobs."""
