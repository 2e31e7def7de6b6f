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
"""How often files are checked without a notification: some file systems send none, and links further up in a
path may be turned elsewhere."""
REST = 50
"""How many times as long as a look took there is none after it: a glob may lead through a large tree."""


async def watch(
    sources: Sequence[Source],
    compiled: CompiledScenario,
    deliver: Callable[[CompiledScenario], None],
    complain: Callable[[ScenarioError], None],
    stop: asyncio.Event,
    seen: bytes,
) -> None:
    """Run until `stop` is set. `compiled` is the present version, and `seen` the `fingerprint` of its files when it was
    read, so that a change since is not missed; `deliver` gets every further version, `complain` what is wrong with one
    that cannot be used. Both are called in the event loop.

    The folders are watched, not the files: editors replace files, and deployments swap links to whole folders."""
    files = compiled.files
    if not files:
        return
    moment = asyncio.get_running_loop().time
    is_broken = looks_again = False
    while not stop.is_set():
        stamps: object = None
        rested = 0.0
        async with contextlib.aclosing(_ticks(await _away(_folders, files), stop)) as ticks:
            async for is_told in ticks:
                if not is_told and moment() < rested:
                    continue
                began = moment()
                before, stamps = stamps, await _away(_stamps, sources, files)
                rested = moment() + REST * (moment() - began)
                if not is_told and stamps == before:
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
                # Files that were not looked at before may have changed since they were read: they are read once more.
                looks_again = set(wanted) != set(files)
                files = wanted
                if looks_again:
                    break  # other folders may have to be watched now


async def _away(work: Callable[..., Result], *arguments: object) -> Result:
    return await asyncio.get_running_loop().run_in_executor(None, work, *arguments)


async def _ticks(folders: Sequence[Path], stop: asyncio.Event) -> AsyncGenerator[bool, None]:
    """True at once and when something has changed in the folders, False every `LOOK_MS`, until stopped. It ends early
    where the system cannot watch: when a folder has gone, or everything is watched that may be."""
    from watchfiles import awatch  # only servers that reload pay for it

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
    """Load and compile; whatever goes wrong is a ScenarioError, as nobody waits for another."""
    try:
        return compile_scenario(*sources)
    except ScenarioError:
        raise
    except Exception as error:
        message = f"it cannot be loaded: {type(error).__name__}: {error}"
        raise ScenarioError([Problem("scenario", 0, 0, message)]) from error


def _is_same(one: CompiledScenario, other: CompiledScenario) -> bool:
    """Whether two versions differ in nothing that anyone could see, such as after a touch."""
    return (
        one.files == other.files
        and one.scenario == other.scenario
        and [rule.origin for rule in one.rules.rules] == [rule.origin for rule in other.rules.rules]
    )


# What is looked at


def fingerprint(sources: Sequence[Source], files: Sequence[Path]) -> bytes:
    """What the files hold now, which files the sources stand for, and which others stand beside them, as an include
    may take in a new one."""
    state = blake2b()
    for path in files:
        state.update(b"\0%b\0%b" % (os.fsencode(path), _content(path)))
    for name in (*_expanded(sources), *_neighbours(files)):
        state.update(b"\0%b" % os.fsencode(name))
    return state.digest()


def _content(path: Path) -> bytes:
    """The hash of a file's content, or what stands for there being none. Nothing that could be waited for is read."""
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
    """What is cheap to compare and differs after nearly every change of the fingerprint."""
    folders = dict.fromkeys(path.parent for path in files)
    return [_stamp(path) for path in (*files, *folders)], _expanded(sources)


def _stamp(path: Path) -> tuple[int, ...] | None:
    try:
        found = path.stat()
    except (OSError, ValueError):
        return None
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def _expanded(sources: Sequence[Source]) -> list[str]:
    """The files that folders and globs among the sources stand for."""
    found: list[str] = []
    for source in sources:
        if isinstance(source, str | os.PathLike):
            with contextlib.suppress(ScenarioError, OSError):
                found += map(str, files_of(os.fspath(source)))
    return found


def _neighbours(files: Iterable[Path]) -> list[str]:
    found: list[str] = []
    for folder in sorted({path.parent for path in files}):
        with contextlib.suppress(OSError, ValueError):
            found += sorted(str(entry) for entry in folder.iterdir() if entry.suffix in SUFFIXES)
    return found


def _folders(files: Iterable[Path]) -> list[Path]:
    """The folders in which a change may tell of another version: those of the files, of what they are links to, and of
    every link on the way to them."""
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
