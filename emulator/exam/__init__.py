"""`emulator exam`: runs a client through a fixed series of faults and grades what it does."""
