"""The race of the services: who takes part, the load on them, and what it counts."""
