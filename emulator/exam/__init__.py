"""`emulator exam`: sits a client through a fixed programme of faults and grades what it does."""
