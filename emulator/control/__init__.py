"""The routes under /__emulator."""
