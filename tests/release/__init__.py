"""What is released: how it is built, what must be in it, whether it works alone. `make release` runs it."""
