"""Watches scenario files and delivers each valid new version; a broken one is reported and changes nothing."""

import asyncio
import contextlib
import os
import stat
from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import TypeVar

from emulator.errors import Problem, ScenarioError
from emulator.scenario.loading import MAX_BYTES
from emulator.scenario.sources import SUFFIXES, Source, files_of
from emulator.state.compiled import CompiledScenario, compile_scenario

Result = TypeVar("Result")

DEBOUNCE_MS = 50
"""Changes within this time are one change, unless nothing happens for `STEP_MS`: editors write in several steps."""
STEP_MS = 20
LOOK_MS = 1000
"""How often files are checked without a notification: some file systems send none, and symbolic links further up in
a path may change.
"""
REST = 50
"""After a check, there is none for this many times its duration: a glob may cover a large tree."""


async def watch(
    sources: Sequence[Source],
    compiled: CompiledScenario,
    deliver: Callable[[CompiledScenario], None],
    complain: Callable[[ScenarioError], None],
    stop: asyncio.Event,
    seen: bytes,
) -> None:
    """Watches until `stop` is set.

    `compiled` is the current version, and `seen` the `fingerprint` of its files when it was read, so that no later
    change is missed. `deliver` gets every new version, `complain` the problems of an invalid one. Both are called in
    the event loop.

    The folders are watched instead of the files: editors replace files, and deployments swap links to whole folders."""
    files = compiled.files
    if not files:
        return
    moment = asyncio.get_running_loop().time
    is_broken = looks_again = False
    while not stop.is_set():
        stamps: object = None
        rested = 0.0
        async with contextlib.aclosing(_ticks(await _away(_folders, files), stop)) as ticks:
            async for is_notified in ticks:
                if not is_notified and moment() < rested:
                    continue
                began = moment()
                before, stamps = stamps, await _away(_stamps, sources, files)
                rested = moment() + REST * (moment() - began)
                if not is_notified and stamps == before:
                    continue
                now = await _away(fingerprint, sources, files)
                if now == seen and not looks_again:
                    continue
                seen = now
                try:
                    fresh = await _away(_loaded, sources)
                except ScenarioError as error:
                    if not (is_broken and looks_again):
                        complain(error)
                    is_broken = True
                    wanted = tuple(dict.fromkeys((*compiled.files, *error.files)))
                else:
                    if is_broken or not _is_same(fresh, compiled):
                        deliver(fresh)
                        compiled = fresh
                    is_broken = False
                    wanted = fresh.files
                # Files that were not watched before may have changed since they were read, so they are read again.
                looks_again = set(wanted) != set(files)
                files = wanted
                if looks_again:
                    break  # the folders to watch may have changed


async def _away(work: Callable[..., Result], *arguments: object) -> Result:
    return await asyncio.get_running_loop().run_in_executor(None, work, *arguments)


async def _ticks(folders: Sequence[Path], stop: asyncio.Event) -> AsyncGenerator[bool, None]:
    """Yields True immediately and when something in the folders has changed, and False every `LOOK_MS`, until
    stopped. Ends early if the system can't watch: a folder is gone, or a limit is reached.
    """
    from watchfiles import awatch  # imported only by servers that reload

    yield True
    try:
        changes = awatch(
            *folders,
            watch_filter=None,
            debounce=DEBOUNCE_MS,
            step=STEP_MS,
            stop_event=stop,
            rust_timeout=LOOK_MS,
            yield_on_timeout=True,
            recursive=False,
            ignore_permission_denied=True,
        )
        async with contextlib.aclosing(changes):
            async for change in changes:
                yield bool(change)
    except (OSError, RuntimeError):
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), LOOK_MS / 1000)


def _loaded(sources: Sequence[Source]) -> CompiledScenario:
    """Loads and compiles the sources. Every failure is a ScenarioError, since callers handle no other."""
    try:
        return compile_scenario(*sources)
    except ScenarioError:
        raise
    except Exception as error:
        message = f"it can't be loaded: {type(error).__name__}: {error}"
        raise ScenarioError([Problem("scenario", 0, 0, message)]) from error


def _is_same(one: CompiledScenario, other: CompiledScenario) -> bool:
    """Whether two versions have no visible difference, such as after `touch`."""
    return (
        one.files == other.files
        and one.scenario == other.scenario
        and [rule.origin for rule in one.rules.rules] == [rule.origin for rule in other.rules.rules]
    )


# What is checked


def fingerprint(sources: Sequence[Source], files: Sequence[Path]) -> bytes:
    """Returns a hash of the files' contents, the files of the sources, and the names next to them, since an include
    may match a new one.
    """
    state = blake2b()
    for path in files:
        state.update(b"\0%b\0%b" % (os.fsencode(path), _content(path)))
    for name in (*_expanded(sources), *_neighbors(files)):
        state.update(b"\0%b" % os.fsencode(name))
    return state.digest()


def _content(path: Path) -> bytes:
    """Returns the hash of a file's content, or a placeholder if there is none. Nothing that could block is read."""
    try:
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    except (OSError, ValueError):
        return b"gone"
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return b"no file"
        with open(descriptor, "rb", closefd=False) as file:
            return blake2b(file.read(MAX_BYTES + 1)).digest()
    except OSError:
        return b"unreadable"
    finally:
        os.close(descriptor)


def _stamps(sources: Sequence[Source], files: Sequence[Path]) -> object:
    """Returns values that are cheap to compare and differ after nearly every change of the fingerprint."""
    folders = dict.fromkeys(path.parent for path in files)
    return [_stamp(path) for path in (*files, *folders)], _expanded(sources)


def _stamp(path: Path) -> tuple[int, ...] | None:
    try:
        found = path.stat()
    except (OSError, ValueError):
        return None
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def _expanded(sources: Sequence[Source]) -> list[str]:
    """Returns the files of the folders and globs among the sources."""
    found: list[str] = []
    for source in sources:
        if isinstance(source, str | os.PathLike):
            with contextlib.suppress(ScenarioError, OSError):
                found += map(str, files_of(os.fspath(source)))
    return found


def _neighbors(files: Iterable[Path]) -> list[str]:
    found: list[str] = []
    for folder in sorted({path.parent for path in files}):
        with contextlib.suppress(OSError, ValueError):
            found += sorted(str(entry) for entry in folder.iterdir() if entry.suffix in SUFFIXES)
    return found


def _folders(files: Iterable[Path]) -> list[Path]:
    """Returns the folders in which a change may mean a new version: those of the files, of their link targets, and
    of every link on the way there.
    """
    found: dict[Path, None] = {}
    for path in files:
        with contextlib.suppress(OSError, ValueError, RuntimeError):
            absolute = path.absolute()
            for folder in (absolute.parent, absolute.resolve().parent):
                found[folder] = None
            for above in absolute.parents:
                if above.is_symlink():
                    found[above.parent] = None
    return [folder for folder in found if folder.is_dir()]
