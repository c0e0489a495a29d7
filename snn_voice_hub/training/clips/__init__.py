"""Recorded and synthesised clips: where they lie, which are for what, and how they are read."""
