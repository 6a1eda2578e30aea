"""Concepts: ordered sets of words, from a name, a file or a list."""
