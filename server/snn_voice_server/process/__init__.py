"""A service as a process: its socket, connections, signals and log."""
