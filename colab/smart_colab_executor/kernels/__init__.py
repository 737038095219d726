"""Jupyter kernels: their processes, channels and messages, and what outlives an executor. Knows no jobs."""
