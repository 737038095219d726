"""The machine below the executor: its memory, GPUs and disks, and the lock on the state folder."""
