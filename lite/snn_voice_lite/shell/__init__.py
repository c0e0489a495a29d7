"""`snn-voice-lite`, and what other programs for a shell share with it."""
