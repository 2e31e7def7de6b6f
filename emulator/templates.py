"""Templates in reply texts: `{{ request.model }}`, sandboxed and bounded.

They are minijinja's: no Python is reachable from them, and a template that does not come to an end is stopped after a
fixed amount of work, within milliseconds.
"""

from collections.abc import Callable, Mapping
from datetime import datetime
from functools import cache
from typing import Any

from emulator.errors import EmulatorError

FUEL = 200_000
"""Steps a template may take; a long reply takes some thousands."""
LONGEST = 2**20
"""Characters that a template, or one filter in it, may make."""


class TemplateError(EmulatorError):
    """A template cannot be read or rendered; the message says why, and in which of its lines."""


def is_template(text: str) -> bool:
    """Whether a text has anything to render."""
    return "{{" in text or "{%" in text or "{#" in text


def check(text: str) -> None:
    """Raises TemplateError when a text is no template."""
    if is_template(text):
        with _told():
            _environment().undeclared_variables_in_str(text)


def render(text: str, context: Mapping[str, Any]) -> str:
    """The text with everything in it rendered. Raises TemplateError, never gives half an answer."""
    if not is_template(text):
        return text
    with _told():
        rendered: str = _environment().render_str(text, **context)
    if len(rendered) > LONGEST:
        raise TemplateError(f"the text is longer than {LONGEST} characters")
    return rendered


class Faked:
    """`fake.name` and `fake.name()` alike; `fake.date(pattern="%Y")` with arguments."""

    def __init__(self, source: Any) -> None:
        self._source = source

    def __getattr__(self, name: str) -> "_Word":
        if name.startswith("_"):
            raise AttributeError(name)
        return _Word(getattr(self._source, name))


class _Word:
    def __init__(self, make: Callable[..., Any]) -> None:
        self._make = make

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        return self._make(*arguments, **options)

    def __str__(self) -> str:
        return str(self._make())


class _told:
    """Turns minijinja's page of a message into one sentence."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if error is None or isinstance(error, TemplateError):
            return
        first = str(error).splitlines()[0] if str(error) else type(error).__name__
        sentence, _, place = first.partition(" (in <string>:")
        line = place.rstrip(")")
        raise TemplateError(f"{sentence} (line {line} of the text)" if line else sentence) from None


@cache
def _environment() -> Any:
    import minijinja

    environment = minijinja.Environment()
    environment.fuel = FUEL
    environment.undefined_behavior = "strict"
    environment.auto_escape_callback = lambda name: False
    environment.keep_trailing_newline = True
    environment.remove_filter("format")  # '%999999999d' fills the memory
    environment.add_filter("replace", _replace)
    environment.add_filter("date", _date)
    return environment


def _replace(text: str, old: str, new: str) -> str:
    if len(text) + text.count(old) * len(new) > LONGEST:
        raise TemplateError(f"replace makes a text of more than {LONGEST} characters")
    return text.replace(old, new)


def _date(moment: str, pattern: str) -> str:
    """`{{ now | date("%d.%m.%Y") }}`"""
    return datetime.fromisoformat(moment).strftime(pattern[:200])
