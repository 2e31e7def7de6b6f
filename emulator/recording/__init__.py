"""What a real provider said, kept in files: redaction, the key of a request, wire files, shapes and their drift."""
