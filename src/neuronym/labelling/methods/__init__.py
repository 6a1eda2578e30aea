"""Labelling methods, one file each."""
