"""What `serve` says once it listens."""

import json
import shlex

from emulator.cli.providers import sdk_line, sdk_of


def banner(origin: str, provider: str | None = None, token: str | None = None) -> str:
    """What `serve` says once it listens: how to reach each provider, and a line to paste."""
    from emulator.providers import PROVIDERS

    lines = [f"The emulator listens on {origin}. Ctrl-C stops it."]
    for name, vendor in PROVIDERS.items():
        if provider in (None, name):
            base = origin if provider else f"{origin}/{name}"
            path, body = vendor.example
            lines += [
                "",
                f"{vendor.title}",
                f"  base URL  {base}",
                f"  SDK       {sdk_line(base, sdk_of(vendor))}",
                f"  auth      {vendor.auth_header}",
                f"  try       curl {base}{path} -H 'Content-Type: application/json' "
                f"-H {shlex.quote(vendor.auth_header)} -d {shlex.quote(json.dumps(body))}",
            ]
    if token is not None:
        lines += ["", "Control API", f"  open      {origin}/__emulator/?token={token}"]
    return "\n".join(lines)
