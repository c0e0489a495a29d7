"""The same service on Ray Serve."""
