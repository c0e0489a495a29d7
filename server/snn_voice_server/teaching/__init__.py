"""New words by clients' clips: one training at a time, in a process of its own."""
