"""What the arithmetic of a network would cost, counted and estimated."""
