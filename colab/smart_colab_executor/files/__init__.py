"""The files of the content root: read, written and described. Independent of HTTP."""
