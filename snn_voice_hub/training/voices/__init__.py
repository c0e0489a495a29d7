"""Words said by synthesisers, as clips to train with."""
