"""The banners of `serve` and `record`."""

import json
import shlex

from emulator.cli.providers import sdk_line, sdk_of

LISTENING = "The emulator is listening on {}. Press Ctrl-C to stop it."
MODES = {
    "none": "only replays",
    "new": "replays existing recordings, records everything else",
    "all": "records everything again",
    "drifted": "sends requests again, replaces answers whose shape has changed",
}


def banner(origin: str, provider: str | None = None, token: str | None = None) -> str:
    """Returns what `serve` prints once it listens: how to reach each provider, and a command to paste."""
    from emulator.providers import PROVIDERS

    query = "" if token is None else f"?token={token}"
    listening, origin = origin, reachable(origin)
    lines = [
        LISTENING.format(listening),
        "",
        "Live page",
        f"  open      {origin}/__emulator/{query}",
    ]
    for name, vendor in PROVIDERS.items():
        if provider in (None, name):
            base = origin if provider else f"{origin}/{name}"
            path, body = vendor.example
            headers = [vendor.auth_header, *[f"{key}: {value}" for key, value in vendor.example_headers.items()]]
            shown = " ".join(f"-H {shlex.quote(header)}" for header in headers)
            lines += [
                "",
                f"{vendor.title}",
                f"  base URL  {base}",
                f"  SDK       {sdk_line(base, sdk_of(vendor))}",
                f"  auth      {vendor.auth_header}",
                f"  try       curl {base}{path} -H 'Content-Type: application/json' "
                f"{shown} -d {shlex.quote(json.dumps(body))}",
            ]
    return "\n".join(lines)


def record_banner(origin: str, provider: str, upstream: str, folder: str, mode: str) -> str:
    """Returns what `record` prints once it listens."""
    from emulator.providers import PROVIDERS

    vendor = PROVIDERS[provider]
    header, _, value = vendor.auth_header.partition(": ")
    scheme = value.rpartition(" ")[0]
    base = f"{origin}/{provider}"
    return "\n".join([
        LISTENING.format(origin),
        "",
        f"{'Replaying' if mode == 'none' else 'Recording'} {vendor.title}",
        f"  upstream  {'none: nothing is forwarded' if mode == 'none' else upstream}",
        f"  folder    {folder}  (mode {mode}: {MODES[mode]})",
        f"  base URL  {base}",
        f"  SDK       {sdk_line(base, sdk_of(vendor))}",
        f"  auth      {header}: {f'{scheme} ' if scheme else ''}<your own key; it is never written to a file>",
        f"  replay    emulator serve --strict --scenario {shlex.quote(folder)}",
        f"  live page {origin}/__emulator/",
    ])  # fmt: skip


def reachable(origin: str) -> str:
    """Returns the URL by which this machine reaches a server that listens on all addresses: browsers refuse 0.0.0.0."""
    return origin.replace("//0.0.0.0:", "//127.0.0.1:").replace("//[::]:", "//[::1]:")
