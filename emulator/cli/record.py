"""`emulator record`."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from emulator.cli import BAD_USE, CANNOT_BIND
from emulator.cli.options import Option
from emulator.cli.output import fail
from emulator.cli.providers import provider_of
from emulator.cli.serving import load_quickly

if TYPE_CHECKING:
    from emulator.logs import Style
    from emulator.server.recorder import Mode, Recorder, RecordOptions

Function = TypeVar("Function", bound=Callable[..., Any])
MODES = ("none", "new", "all", "drifted")
OPTIONS = (
    click.option("--mode", type=click.Choice(MODES), default="new", show_default=True, cls=Option,
                 help="none: only replay; new: record what is missing; all: record everything again; drifted: send "
                 "requests again, and replace answers whose shape has changed."),
    click.option("--redact-name", "names", metavar="NAME", multiple=True,
                 help="A JSON member or header to redact, in addition to keys, cookies and account ids; repeatable."),
    click.option("--redact-path", "paths", metavar="JSONPATH", multiple=True,
                 help="A value to redact in bodies; repeatable."),
    click.option("--redact-regex", "regexes", metavar="REGEX", multiple=True,
                 help="A pattern to redact in every text, even across chunks; repeatable."),
    click.option("--keep-partial", is_flag=True, cls=Option, help="Also keep interrupted streams."),
)  # fmt: skip


def with_record_options(function: Function) -> Function:
    """Gives a command the options of recording."""
    for option in reversed(OPTIONS):
        function = option(function)
    return function


@click.command("record")
@click.option("--provider", metavar="NAME", required=True, cls=Option, help="The provider to record.")
@click.option("--upstream", metavar="URL", cls=Option,
              help="The provider's URL; by default, its documented host over https.")  # fmt: skip
@click.option("--into", "folder", metavar="FOLDER", type=click.Path(), default="recordings", show_default=True,
              cls=Option, help="The folder to write the recordings to.")  # fmt: skip
@with_record_options
@click.option("--host", default="127.0.0.1", show_default=True, cls=Option, help="The loopback address to listen on.")
@click.option("--port", "-p", type=click.IntRange(0, 65535), default=8080, show_default=True, cls=Option,
              help="The port to listen on; 0 picks a free one.")  # fmt: skip
@click.option("--log", type=click.Choice(["pretty", "json", "off"]), default="pretty", show_default=True, cls=Option,
              help="Request log format.")  # fmt: skip
def command(
    provider: str, upstream: str | None, folder: str, host: str, port: int, log: "Style", **values: Any
) -> None:
    """Forward requests to a real provider, and record its answers.

    Clients use this server like `emulator serve`: http://127.0.0.1:8080/NAME and the documented path, with their real
    key. Responses are streamed through as they arrive. Each question becomes a scenario file in FOLDER, with a wire
    file for each answer; keys, cookies and account ids are redacted before anything is written. To replay it: emulator
    serve --scenario FOLDER

    Exit code 0: stopped by a signal; 1: an answer couldn't be written; 2: bad usage; 3: the port is taken."""
    import sys

    load_quickly()
    from emulator.cli.banner import record_banner
    from emulator.cli.serve import serve_alone
    from emulator.engine import Options
    from emulator.errors import BindError, EmulatorError
    from emulator.server.recorder import compiled_in
    from emulator.server.relaying import documented_upstream
    from emulator.server.server import ServerOptions

    try:
        check_loopback(host)
        provider_of(provider)
        upstreams = {} if upstream is None else {provider: upstream}
        recorder = recorder_of(record_options(folder, upstreams, values, only=provider))
        options = ServerOptions(
            compiled_in(recorder.options),
            Options(unmatched="error", request_faults=frozenset()),
            recorder=recorder,
        )
        real = str(recorder.options.upstreams.get(provider) or documented_upstream(provider))
        mode = recorder.options.mode
        serve_alone(options, host, port, log, lambda url: record_banner(url, provider, real, folder, mode))
    except BindError as error:
        fail(str(error), CANNOT_BIND)
    except EmulatorError as error:
        fail(str(error), BAD_USE)
    click.echo(summary(recorder), err=True)
    sys.exit(1 if recorder.counts.failed else 0)


def check_loopback(host: str) -> None:
    """Raises UsageError for an address that other machines can reach: they could use the recorder's connection."""
    from emulator.errors import UsageError
    from emulator.interception.proxy import is_loopback

    if not is_loopback(host):
        raise UsageError(f"--host {host}: a recorder listens only on loopback addresses, such as 127.0.0.1.")


def record_options(
    folder: str, upstreams: Mapping[str, str], values: Mapping[str, Any], only: str | None = None
) -> "RecordOptions":
    """Returns what to record, from the values of OPTIONS. Raises UsageError."""
    from emulator.recording.redaction import Redaction
    from emulator.server.recorder import RecordOptions
    from emulator.server.relaying import upstream_of

    mode: Mode = values["mode"]
    return RecordOptions(
        Path(folder),
        mode,
        only,
        {name: upstream_of(url) for name, url in upstreams.items()},
        Redaction(values["names"], values["paths"], values["regexes"]).checked(),
        values["keep_partial"],
    )


def recorder_of(options: "RecordOptions", *, apart: bool = True) -> "Recorder":
    """Returns a recorder that is ready. `apart`: a separate process writes the files. Raises UsageError."""
    from emulator.server.recorder import prepared

    return prepared(options, lambda line: click.echo(f"emulator: {line}", err=True), apart=apart)


def summary(recorder: "Recorder") -> str:
    """Summarizes the requests in one line."""
    counts = recorder.counts
    rows = [(name, getattr(counts, name)) for name in counts.__slots__]
    said = ", ".join(f"{count} {name}" for name, count in rows if count) or "no requests"
    return f"{recorder.options.folder}: {said}."
