"""Ground truth: what units respond to, from people, files, or the classes of an output layer."""
