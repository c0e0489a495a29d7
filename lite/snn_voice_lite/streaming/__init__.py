"""Words out of sound that goes on: plain NumPy, with neither a network nor a server."""
