"""A service as a process: its socket, signals and log."""
