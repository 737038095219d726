"""Jobs on disk and in memory: what was asked, what was printed, how it ended."""
