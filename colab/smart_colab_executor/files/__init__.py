"""The files of the content root: read, written and described. Knows no HTTP server."""
