"""The Hugging Face Hub over the network: what is there, what of it lies here, and why it refuses."""
