"""Options that can also be environment variables, and a check for unknown variables."""

import math
import os
import re
from collections.abc import Mapping, Sequence
from typing import Any

import click

from emulator.errors import did_you_mean

PREFIX = "EMULATOR_"
OTHER_USES = frozenset(
    {
        "EMULATOR_NODE_MODULES",
        "EMULATOR_REQUIRE_ALL",
        "EMULATOR_URL",
        "EMULATOR_BASE_URL",
        "EMULATOR_CASE",
        "EMULATOR_CA_FILE",
    }
)
"""Variables of the emulator that aren't options: for its own tests, and those that `run` and `exam` set."""
FROM_KUBERNETES = re.compile(r"EMULATOR_(SERVICE_(HOST|PORT)(_\w+)?|PORT_\d+_(TCP|UDP)(_\w+)?)")
"""Variables that Kubernetes sets in every pod next to a service named `emulator`; EMULATOR_PORT is then a URL."""


class Speed(click.ParamType[float]):
    """A number above 0, or `max`."""

    name = "speed"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        from emulator.errors import UsageError
        from emulator.pace import FASTEST, SLOWEST, checked_speed

        if value == "max":
            return math.inf
        try:
            return checked_speed(float(value))
        except (ValueError, UsageError):
            bounds = f"a number from {SLOWEST:f} to {FASTEST:.0f}, such as 2"
            self.fail(f"'{value}' is not a speed. Use {bounds}, or max.", param, ctx)


class Paths(click.ParamType[str]):
    """Paths, which may contain spaces; a variable separates them as in PATH."""

    name = "path"
    envvar_list_splitter = os.pathsep


class Faults(click.ParamType[str]):
    """Faults, whose messages may contain spaces; a variable separates them with semicolons or newlines."""

    name = "fault"

    def split_envvar_value(self, rv: str) -> Sequence[str]:
        return [part.strip() for part in re.split(r"[;\n]", rv) if part.strip()]


class Option(click.Option):
    """An option that can also be an environment variable: `--port` is EMULATOR_PORT, `--no-reload` is
    EMULATOR_NO_RELOAD or EMULATOR_RELOAD=false."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        names = [name.removeprefix("--") for name in (*self.opts, *self.secondary_opts) if name.startswith("--")]
        self.variables = {PREFIX + name.upper().replace("-", "_"): name.startswith("no-") for name in names}
        if self.is_flag:
            for variable in tuple(self.variables):
                self.variables.setdefault(PREFIX + "NO_" + variable.removeprefix(PREFIX), True)
        self.show_envvar = False

    def resolve_envvar_value(self, ctx: click.Context) -> str | None:
        """Returns the value of the option's variable; a flag has two variables."""
        found: dict[str, str] = {}
        for variable, is_negated in self.variables.items():
            value = os.environ.get(variable, "")
            if not value or (variable == "EMULATOR_PORT" and "://" in value):  # Kubernetes, see above
                continue
            if is_negated:
                is_set = click.BOOL.convert(value, self, ctx)
                value = "false" if is_set else "true"
            elif self.is_flag:
                value = "true" if click.BOOL.convert(value, self, ctx) else "false"
            found[variable] = value
        if len(set(found.values())) > 1:
            raise click.UsageError(f"{' and '.join(found)} contradict each other: set only one of them.", ctx)
        return next(iter(found.values()), None)


def unknown_variables(environment: Mapping[str, str], *commands: click.Command) -> list[str]:
    """Returns a sentence for each EMULATOR_… variable that isn't an option of any of these commands."""
    options = [option for command in commands for option in command.params]
    known = [name for option in options if isinstance(option, Option) for name in option.variables]
    said = []
    for name in sorted(environment):
        is_ours = name.startswith(PREFIX) and bool(environment[name]) and not FROM_KUBERNETES.fullmatch(name)
        if is_ours and name not in known and name not in OTHER_USES:
            hint = did_you_mean(name.removeprefix(PREFIX), [each.removeprefix(PREFIX) for each in known])
            hint = hint.replace("mean '", f"mean '{PREFIX}") or " `emulator serve --help` lists the options."
            said.append(f"{name} is set but has no effect: there is no such option.{hint}")
    return said
