"""Everything under /__emulator."""
