"""Watches scenario files and delivers each new version that is sound; a broken one is told and changes nothing."""

import asyncio
from collections.abc import Callable, Sequence
from hashlib import blake2b
from pathlib import Path

from emulator.errors import ScenarioError
from emulator.namespace import Script, script_from
from emulator.sources import Source

DEBOUNCE_MS = 50
"""Changes within this time are one change: editors write a file in several steps."""


async def watch(
    sources: Sequence[Source],
    script: Script,
    deliver: Callable[[Script], None],
    complain: Callable[[ScenarioError], None],
    stop: asyncio.Event,
) -> None:
    """Run until `stop` is set. `script` is the present version; `deliver` gets every further
    version, `complain` what is wrong with one that cannot be used. Both are called in the event loop.

    The folders are watched, not the files: editors replace files, and deployments swap links to whole folders."""
    from watchfiles import awatch  # only servers that reload pay for it

    loop = asyncio.get_running_loop()
    watched = script.files
    seen = await loop.run_in_executor(None, _fingerprint, watched)
    while not stop.is_set():
        folders = {path.parent for path in watched if path.parent.is_dir()}
        if not folders:
            return
        changes = awatch(*folders, watch_filter=None, debounce=DEBOUNCE_MS, step=10, recursive=False, stop_event=stop)
        async for _ in changes:
            now = await loop.run_in_executor(None, _fingerprint, watched)
            if now == seen:
                continue
            seen = now
            try:
                script = await loop.run_in_executor(None, lambda: script_from(*sources))
            except ScenarioError as error:
                complain(error)
                continue
            deliver(script)
            if set(script.files) != set(watched):
                watched = script.files
                seen = await loop.run_in_executor(None, _fingerprint, watched)
                break  # other folders may have to be watched now


def _fingerprint(files: Sequence[Path]) -> bytes:
    """What the files hold now, and which others stand beside them: a folder or a glob may take in a new one."""
    state = blake2b()
    for path in files:
        try:
            state.update(path.read_bytes())
        except OSError:
            state.update(b"\0gone")
    for folder in sorted({path.parent for path in files}):
        try:
            names = sorted(entry.name for entry in folder.iterdir())
        except OSError:
            names = []
        state.update("\n".join(names).encode("utf-8", "surrogateescape"))
    return state.digest()
