"""Errors, checked arguments and whole files: what every other room may use."""
