"""A teacher of another house: OpenAI's Whisper hears the clips once, and its answers are kept in a file."""
