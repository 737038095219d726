"""Jobs on disk and in memory: their requests, output and end states."""
