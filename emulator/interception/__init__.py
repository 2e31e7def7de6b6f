"""TLS and a proxy in front of the server's own protocol, so that clients can keep their documented https URLs."""
