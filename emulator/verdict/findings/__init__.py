"""What a client may do wrong, one file each."""
