"""Memory of a worker that outlives it: the parent makes it before it forks, and any worker can read it.

A box has two halves. One of them is valid: a log of what its worker would leave behind. The other one is where the log
is written anew, without what is no longer needed, until that takes the place of the first. Writing is copying: no
system call, and what was written is there even if the worker is killed in the next moment."""

import mmap

HEADER = 64
MARGIN = 16 * 2**20


class Box:
    """The memory of one worker."""

    def __init__(self, memory: memoryview, half: int) -> None:
        self._numbers = memory[:24].cast("Q")
        """Which half is valid, counted from 1, and the bytes used in each."""
        self._halves = (memory[HEADER : HEADER + half], memory[HEADER + half : HEADER + 2 * half])
        self._size = half

    def reset(self) -> None:
        """Empties it."""
        self._numbers[0] = self._numbers[1] = self._numbers[2] = 0

    def begin(self, which: int) -> None:
        """Empties one half."""
        self._numbers[1 + which] = 0

    def append(self, which: int, data: bytes) -> bool:
        """Adds to the log in one half. Returns whether it fitted."""
        used = self._numbers[1 + which]
        end = used + len(data)
        if end > self._size:
            return False
        self._halves[which][used:end] = data
        self._numbers[1 + which] = end  # last, so that a log never ends with half a record
        return True

    def used(self, which: int) -> int:
        """Returns the bytes in one half."""
        return self._numbers[1 + which]

    def publish(self, which: int) -> None:
        """Makes one half the valid one."""
        self._numbers[0] = 1 + which

    def read(self) -> bytes:
        """Returns the log in the valid half."""
        which = self._numbers[0]
        return bytes(self._halves[which - 1][: self._numbers[which]]) if which else b""


class Boxes:
    """The boxes of all workers, more than are used at the same time: that of a killed one is kept until it is read."""

    def __init__(self, workers: int, most_bytes: int) -> None:
        """most_bytes: of all their journals."""
        half = (most_bytes // workers + MARGIN) & ~63
        self.count = 2 * workers + 2
        size = HEADER + 2 * half
        flags = mmap.MAP_SHARED | mmap.MAP_ANONYMOUS | getattr(mmap, "MAP_NORESERVE", 0)  # used only as far as written
        memory = memoryview(mmap.mmap(-1, self.count * size, flags=flags))
        self._boxes = [Box(memory[place * size : (place + 1) * size], half) for place in range(self.count)]

    def __getitem__(self, slot: int) -> Box:
        return self._boxes[slot]
