"""How the weights of the encoder `sketch` are made; run by hand, not part of the package."""
