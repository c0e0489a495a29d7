"""How a loaded model is run: windows of clips, batches of windows."""
