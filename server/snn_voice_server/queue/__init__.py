"""The queue of clips: jobs, batches, health. It knows no HTTP, no model and no device."""
