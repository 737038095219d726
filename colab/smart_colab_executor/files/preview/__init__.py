"""Shows what is in a file that is no text: its schema, its size and its first rows.

Runs in a process of its own (`process`), on the standard library and the library of the file's kind, and never runs or
unpickles what is in the file.
"""
