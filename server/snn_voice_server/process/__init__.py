"""The service as a process: its connections, its log, and how it runs until it is asked to end."""
