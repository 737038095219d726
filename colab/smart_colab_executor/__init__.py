"""Runs code in Jupyter kernels for the smart-colab bridge, over HTTP."""

__version__ = "0.1.0"
