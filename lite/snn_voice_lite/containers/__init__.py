"""What the bytes of a sound file are, and whether they are all there: what libsndfile doesn't ask."""
