"""The banner of `serve`."""

import json
import shlex

from emulator.cli.providers import sdk_line, sdk_of


def banner(origin: str, provider: str | None = None, token: str | None = None) -> str:
    """Returns what `serve` prints once it listens: how to reach each provider, and a command to paste."""
    from emulator.providers import PROVIDERS

    query = "" if token is None else f"?token={token}"
    listening, origin = origin, reachable(origin)
    lines = [
        f"The emulator is listening on {listening}. Press Ctrl-C to stop it.",
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


def reachable(origin: str) -> str:
    """Returns the URL by which this machine reaches a server that listens on all addresses: browsers refuse 0.0.0.0."""
    return origin.replace("//0.0.0.0:", "//127.0.0.1:").replace("//[::]:", "//[::1]:")
