"""Encoders: image–text models that put images and words into one space."""
