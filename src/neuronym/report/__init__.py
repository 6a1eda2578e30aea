"""An atlas in text, figures and one document."""
