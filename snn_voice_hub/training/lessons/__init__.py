"""One road from a text, or a voice, to a word that listens: `snn-voice teach`."""
