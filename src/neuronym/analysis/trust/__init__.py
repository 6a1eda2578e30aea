"""Analyses: how far the labels of a method can be trusted, one file per analysis."""
