"""One pass over the images: activations of the target, embeddings of the encoder."""
