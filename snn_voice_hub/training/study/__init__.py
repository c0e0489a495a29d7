"""The paper's study run anew: the grid of runs, their results, what they say, and the report."""
