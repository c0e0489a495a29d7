"""The report on a grid of runs: its text, its figures, and how both are written."""
