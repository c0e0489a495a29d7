"""The paper's own checkpoints, read without running their pickles."""
