"""Measures the emulator beside bare floors and its peers."""
