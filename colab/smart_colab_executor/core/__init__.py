"""Errors, checked arguments and atomic files, for use by every other room."""
