"""Concepts for every unit: labelling methods, and adding their labels to an atlas."""
