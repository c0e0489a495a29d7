"""Words that a model learns from a few clips, at once: another last layer, and no training."""
