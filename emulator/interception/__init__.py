"""TLS and a proxy in front of the server's own protocol, so that clients may keep their documented https URLs."""
