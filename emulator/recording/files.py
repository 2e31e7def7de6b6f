"""Writes files atomically: a file has either its old content or all of the new one."""

import os
import secrets
from contextlib import suppress
from pathlib import Path

MODE = 0o600
PREFIX = ".new-"


def write_whole(path: Path, data: bytes) -> None:
    """Writes a file to the disk, readable only by its owner. Raises OSError, and then nothing has changed."""
    temporary = path.with_name(f"{PREFIX}{secrets.token_hex(8)}")
    try:
        _write(temporary, data)
        os.replace(temporary, path)
    except BaseException:
        with suppress(OSError):
            temporary.unlink()
        raise
    _sync_folder(path.parent)


def _write(path: Path, data: bytes) -> None:
    descriptor = _nameless(path.parent)
    is_nameless = descriptor is not None
    if descriptor is None:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, MODE)
    try:
        left = memoryview(data)
        while left:
            left = left[os.write(descriptor, left) :]
        os.fsync(descriptor)
        if is_nameless:  # it gets a name once it is complete
            _name(descriptor, path)
    finally:
        os.close(descriptor)


def _name(descriptor: int, path: Path) -> None:
    folder = os.open(path.parent, os.O_RDONLY)
    try:  # with a folder's descriptor, Python follows the link that /proc shows
        os.link(f"/proc/self/fd/{descriptor}", path.name, dst_dir_fd=folder, follow_symlinks=True)
    finally:
        os.close(folder)


def _nameless(folder: Path) -> int | None:
    """Opens a file without a name, which disappears with the process; None if that is not supported."""
    if not hasattr(os, "O_TMPFILE") or not os.path.isdir("/proc/self/fd"):
        return None
    try:
        return os.open(folder, os.O_WRONLY | os.O_TMPFILE, MODE)
    except OSError:
        return None


def _sync_folder(folder: Path) -> None:
    with suppress(OSError):  # not supported on every system
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def sweep(folder: Path) -> None:
    """Removes the leftovers of a writer that was interrupted."""
    for path in folder.glob(f"{PREFIX}*"):
        with suppress(OSError):
            path.unlink()
