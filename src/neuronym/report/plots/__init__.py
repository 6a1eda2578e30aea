"""Figures of an atlas, one file each."""
