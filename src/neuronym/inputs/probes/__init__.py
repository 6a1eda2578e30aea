"""Probes: ordered sets of images, from a name, a folder, a data set or a list."""
