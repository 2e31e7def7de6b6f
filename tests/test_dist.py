"""The wheel and the sdist are the same bytes each time, and hold all that the package needs."""

import hashlib
import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ENVIRONMENT = {**os.environ, "SOURCE_DATE_EPOCH": "1767225600"}


def built(source: Path, folder: Path, umask: int) -> dict[str, str]:
    """What is built from a folder, each file with its hash."""
    command = [sys.executable, "-m", "hatchling", "build", "--directory", str(folder)]
    subprocess.run(command, check=True, capture_output=True, cwd=source, env=ENVIRONMENT, umask=umask)
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    built(ROOT, folder, 0o022)
    return folder


def test_another_machine_builds_the_same_bytes_from_the_sdist(dist: Path, tmp_path: Path) -> None:
    """From another folder, with files of other times and modes, and without Git."""
    (sdist,) = dist.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        archive.extractall(tmp_path, filter="data")
    (source,) = tmp_path.iterdir()
    for path in source.rglob("*"):
        os.utime(path, (1_000_000_000, 1_000_000_000))
    expected = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in dist.iterdir()}
    assert built(source, tmp_path / "again", 0o077) == expected


def test_the_wheel_runs_without_the_checkout(dist: Path, tmp_path: Path) -> None:
    (wheel,) = dist.glob("*.whl")
    zipfile.ZipFile(wheel).extractall(tmp_path)
    code = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r}); sys.argv = ['emulator', *sys.argv[1:]]\n"
        "import emulator; print(emulator.__file__)\n"
        "from emulator import Emulator; import urllib.request\n"
        "with Emulator('incidents/deepseek_busy') as emulator:\n"
        "    print(urllib.request.urlopen(emulator.origin + '/__emulator/').status)\n"
        "from emulator.cli import main; main()"
    )
    command = [sys.executable, "-I", "-c", code, "check", "documented"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    first, second, *_ = done.stdout.splitlines()
    assert (first, second, done.returncode) == (f"{tmp_path}/emulator/__init__.py", "200", 0), done.stderr


def test_the_sdist_holds_what_its_makefile_and_tests_need(dist: Path) -> None:
    (sdist,) = dist.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    tracked = subprocess.run(["git", "ls-files"], capture_output=True, text=True, cwd=ROOT, check=False)
    if tracked.returncode:
        pytest.skip("this is no checkout")
    left_out = {name for name in tracked.stdout.split("\n") if name} - names
    assert {name for name in left_out if not name.startswith(".ci/")} == {".gitattributes"}
