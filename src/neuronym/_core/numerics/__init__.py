"""Streaming numbers: top-k, statistics per unit, matrix products, compiled loops."""
