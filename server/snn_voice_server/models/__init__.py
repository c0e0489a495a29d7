"""The loaded models: where they are kept, how they compute, what is counted."""
