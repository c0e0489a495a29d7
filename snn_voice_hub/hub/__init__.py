"""Everything that touches checkpoints and the Hugging Face Hub."""
