"""The mistakes that a client may make, one file each."""
