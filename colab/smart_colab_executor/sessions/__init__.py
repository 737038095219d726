"""Named sessions: each runs its jobs in its kernel, one after the other."""
