"""The dialects: what the API families put on the wire, whichever vendor speaks them."""
