"""Similarities: from activations and embeddings to scores per unit and concept."""
