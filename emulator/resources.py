"""Where the files are that travel with the package: scenarios and fixtures."""

from pathlib import Path

_PACKAGE = Path(__file__).parent


def folder(name: str) -> Path:
    """The folder `scenarios` or `fixtures`: inside an installed package, or beside it in a checkout."""
    installed = _PACKAGE / f"_{name}"
    return installed if installed.is_dir() else _PACKAGE.parent / name


DEFAULT_SCENARIO = folder("scenarios") / "documented.yaml"
