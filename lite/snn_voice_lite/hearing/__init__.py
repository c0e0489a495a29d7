"""What a model keeps of a stream."""
