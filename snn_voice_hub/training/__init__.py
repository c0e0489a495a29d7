"""How the bundled checkpoints were made and measured."""
