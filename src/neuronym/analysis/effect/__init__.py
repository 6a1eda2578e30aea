"""What units do to the output of their network."""
