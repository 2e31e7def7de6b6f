"""Finds the files that come with the package: scenarios and fixtures."""

from pathlib import Path

_PACKAGE = Path(__file__).parent


def folder(name: str) -> Path:
    """Returns the folder `scenarios` or `fixtures`: inside an installed package, or next to it in a checkout."""
    installed = _PACKAGE / f"_{name}"
    return installed if installed.is_dir() else _PACKAGE.parent / name


DEFAULT_SCENARIO = folder("scenarios") / "documented.yaml"


def scenario_names() -> list[str]:
    """Returns the names of the package's scenarios, such as `incidents/deepseek_busy`."""
    root = folder("scenarios")
    return sorted(path.relative_to(root).with_suffix("").as_posix() for path in root.rglob("*.yaml"))


def scenario_named(name: str) -> Path | None:
    """Returns the file of one of the package's scenarios, by its name with or without extension; None for other
    names."""
    plain = name.removesuffix(".yaml")
    return folder("scenarios") / f"{plain}.yaml" if plain in scenario_names() else None
