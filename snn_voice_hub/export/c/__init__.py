"""Networks on frames as portable C99, in integers, for microcontrollers."""
