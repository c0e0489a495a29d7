"""One run: from a recipe and clips to a checkpoint."""
