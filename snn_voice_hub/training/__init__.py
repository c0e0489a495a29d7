"""How checkpoints are made and measured: `study` over `fitting` over `measuring` over `clips`."""
