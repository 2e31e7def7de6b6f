"""Recordings of real providers: redaction, the digest of a request, wire files, shapes and their drift."""
