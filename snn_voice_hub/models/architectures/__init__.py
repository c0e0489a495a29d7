"""The bundled networks: a family a file, a CNN and its spiking twin side by side in it."""
