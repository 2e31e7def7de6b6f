"""The dialects: the wire formats of API families, whichever vendor speaks them."""
