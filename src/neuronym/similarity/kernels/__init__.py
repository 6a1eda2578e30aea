"""Inner loops of the similarities: compiled for the CPU, and in torch."""
