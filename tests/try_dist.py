"""Tries what `make try-dist` has built, each in an empty environment: `python tests/try_dist.py dist`.

Dependencies come from the package index, so this is no test of the suite; continuous integration runs it."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx

UV = shutil.which("uv", path=str(Path(sys.executable).parent)) or "uv"
AWAY = "/"
LOCK = str(Path(__file__).parent.parent / "requirements.txt")
ENVIRONMENT = {
    name: os.environ[name] for name in os.environ if not name.startswith(("EMULATOR_", "PYTHON", "VIRTUAL_"))
}


def commands(dist: Path, folder: Path) -> Iterator[tuple[str, list[str]]]:
    """Each way to get it, and the command that it gives."""
    (wheel,), (sdist,) = dist.glob("*.whl"), dist.glob("*.tar.gz")
    for name, source in (("wheel", wheel), ("sdist", sdist)):
        environment = folder / name
        run(UV, "venv", "--quiet", "--python", sys.executable, str(environment))
        python = environment / "bin" / "python"
        run(UV, "pip", "install", "--quiet", "--python", str(python), "--constraints", LOCK, str(source))
        yield name, [str(environment / "bin" / "emulator")]
        yield f"{name}, python -m", [str(python), "-m", "emulator"]
    uvx = [UV, "tool", "run", "--quiet", "--isolated", "--python", sys.executable, "--from", str(wheel), "emulator"]
    yield "uvx --from", uvx
    yield "zipapp", [str(Path(sys._base_executable)), "-I", str(dist / "emulator.pyz")]  # type: ignore[attr-defined]


def run(*command: str) -> str:
    """What a command prints, away from the checkout, whose modules would be found first."""
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=ENVIRONMENT, cwd=AWAY)
    return done.stdout


@contextmanager
def listening(command: list[str]) -> Iterator[int]:
    """`serve` by that command: its port."""
    words = [*command, "serve", "--port", "0"]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True, env=ENVIRONMENT, cwd=AWAY)
    try:
        assert process.stdout is not None
        found = re.search(r":(\d+)", process.stdout.readline())
        assert found is not None
        yield int(found[1])
    finally:
        process.terminate()
        process.communicate()


def main(dist: Path) -> None:
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        ENVIRONMENT["SHIV_ROOT"] = str(folder / "shiv")
        versions = set()
        for way, command in commands(dist.resolve(), folder):
            versions.add(run(*command, "--version"))
            port = stack.enter_context(listening(command))
            body = {"model": "deepseek-v3", "messages": [{"role": "user", "content": "Hello"}]}
            url = f"http://127.0.0.1:{port}/serevix/v1/chat/completions"
            reply = httpx.post(url, json=body, headers={"authorization": "Bearer sk-any"}, trust_env=False)
            assert reply.status_code == 200, reply.text
            assert httpx.get(f"http://127.0.0.1:{port}/__emulator/", trust_env=False).status_code == 200
            run(*command, "check", "incidents/deepseek_busy")
            print(f"ok  {way}")
        assert len(versions) == 1, versions


if __name__ == "__main__":
    main(Path(sys.argv[1]))
