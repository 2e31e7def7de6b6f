"""Memory of a worker that outlives it: the parent makes it before it forks, and any worker can read it.

A box has two halves. One of them is valid: a log of what its worker would leave behind. The other one is where the log
is rewritten, without what is no longer needed, until that takes the place of the first. Writing is copying: no
system call, and what was written is there even if the worker is killed in the next moment."""

import contextlib
import mmap

MARGIN = 32 * 2**20
"""The bytes of a half beyond those of all journals, since a log may be larger than what it is about."""


class Box:
    """The memory of one worker. It takes up only as much of the machine's as is written to it."""

    def __init__(self, half: int) -> None:
        """half: the bytes of each half, in whole pages."""
        flags = mmap.MAP_SHARED | mmap.MAP_ANONYMOUS | getattr(mmap, "MAP_NORESERVE", 0)
        self.half = half
        self._mapped = mmap.mmap(-1, mmap.PAGESIZE + 2 * half, flags=flags)
        memory = memoryview(self._mapped)
        self._numbers = memory[:40].cast("Q")
        """Which half is valid, counted from 1, the bytes used in each, those of the journals, and its worker."""
        first, second = mmap.PAGESIZE, mmap.PAGESIZE + half
        self._halves = (memory[first:second], memory[second:])

    def reset(self, owner: int = 0) -> None:
        """Empties it, for the worker with this index; 0: for nobody."""
        for place, number in enumerate((0, 0, 0, 0, owner)):
            self._numbers[place] = number

    def release(self) -> None:
        """Gives the memory of both halves back to the system."""
        if hasattr(mmap, "MADV_REMOVE"):  # pragma: no branch - only Linux has it
            with contextlib.suppress(OSError):  # the system keeps the memory
                self._mapped.madvise(mmap.MADV_REMOVE, mmap.PAGESIZE, 2 * self.half)

    def begin(self, which: int) -> None:
        """Empties one half."""
        self._numbers[1 + which] = 0

    def append(self, which: int, data: bytes, spare: int = 0) -> int:
        """Adds to the log in one half. Returns the bytes in it; 0 if that would not have left `spare` bytes."""
        used = self._numbers[1 + which]
        end = used + len(data)
        if end > self.half - spare:
            return 0
        self._halves[which][used:end] = data
        self._numbers[1 + which] = end  # last, so that a log never ends with half a record
        return end

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

    @property
    def owner(self) -> int:
        """The index of its worker."""
        return self._numbers[4]

    @property
    def journals(self) -> int:
        """The bytes of its worker's journals."""
        return self._numbers[3]

    @journals.setter
    def journals(self, size: int) -> None:
        self._numbers[3] = size


class Boxes:
    """The boxes of all workers, more than are used at the same time: that of a killed one is kept until it is read."""

    def __init__(self, workers: int, most_bytes: int) -> None:
        """most_bytes: the limit for all journals together, which one worker may use up alone."""
        try:
            self._boxes = _boxes(workers, most_bytes)
        except OSError:  # a system that reserves even what is never written to
            self._boxes = _boxes(workers, most_bytes // workers)

    def __getitem__(self, slot: int) -> Box:
        return self._boxes[slot]

    def __len__(self) -> int:
        return len(self._boxes)

    def journals_of_others(self, slot: int) -> int:
        """Returns the bytes of the journals of all workers but one, including those that nobody has taken over yet."""
        return sum([box.journals for box in self._boxes]) - self._boxes[slot].journals


def _boxes(workers: int, most_bytes: int) -> list[Box]:
    half = -(-(most_bytes + MARGIN) // mmap.PAGESIZE) * mmap.PAGESIZE
    return [Box(half) for _ in range(2 * workers + 2)]
