"""Units by word, by picture, and by likeness to each other."""
