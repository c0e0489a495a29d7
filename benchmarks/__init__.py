"""One file a question; each prints a table and keeps it in `results/`. See README.md."""
