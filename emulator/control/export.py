"""The journal as a file: JSON lines, an HTTP archive, or a shell script that sends the requests again."""

import json
import shlex
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from emulator.state.redaction import REDACTED

Rows = Sequence[Mapping[str, Any]]
NOT_SENT = frozenset({"host", "content-length", "connection", "transfer-encoding", "accept-encoding"})
"""Headers that curl sets itself."""


def as_jsonl(rows: Rows) -> str:
    """One exchange per line."""
    return "".join(f"{json.dumps(row, ensure_ascii=False)}\n" for row in rows)


def as_har(rows: Rows) -> str:
    """An HTTP archive 1.2, for browsers' developer tools and proxies."""
    log = {
        "version": "1.2",
        "creator": {"name": "llm-provider-emulator", "version": "1"},
        "entries": [_entry(row) for row in rows],
    }
    return json.dumps({"log": log}, ensure_ascii=False)


def _entry(row: Mapping[str, Any]) -> dict[str, Any]:
    request, response = row["request"], row["response"]
    first, last = row["first_sent"] or 0.0, row["last_sent"] or 0.0
    kind = response["headers"].get("content-type", "application/octet-stream")
    sent: dict[str, Any] = {
        "method": row["method"],
        "url": row["url"],
        "httpVersion": "HTTP/1.1",
        "cookies": [],
        "headers": _pairs(request["headers"]),
        "queryString": _query(row["query"]),
        "headersSize": -1,
        "bodySize": request["size"],
    }
    if request["size"]:
        sent["postData"] = {
            "mimeType": request["headers"].get("content-type", "application/json"),
            "text": request["body"],
        }
    return {
        "startedDateTime": datetime.fromtimestamp(row["received"], UTC).isoformat(timespec="milliseconds"),
        "time": last * 1000,
        "request": sent,
        "response": {
            "status": row["status"],
            "statusText": "",
            "httpVersion": "HTTP/1.1",
            "cookies": [],
            "headers": _pairs(response["headers"]),
            "content": {"size": response["size"], "mimeType": kind, "text": response["text"]},
            "redirectURL": "",
            "headersSize": -1,
            "bodySize": row["bytes_sent"],
        },
        "cache": {},
        "timings": {"send": 0, "wait": first * 1000, "receive": (last - first) * 1000},
        "comment": f"exchange {row['number']} of {row['namespace']}: {row['ended'] or 'open'}",
    }


def _pairs(headers: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"name": name, "value": value} for name, value in headers.items()]


def _query(query: str) -> list[dict[str, str]]:
    parts = [part.partition("=") for part in query.split("&") if part]
    return [{"name": name, "value": value} for name, _, value in parts]


def as_curl(rows: Rows) -> str:
    """A shell script with one curl command per request; the user fills in the keys."""
    return "\n".join(["#!/bin/sh", *(_command(row) for row in rows), ""])


def _command(row: Mapping[str, Any]) -> str:
    request = row["request"]
    words = ["curl", "-sS", "-X", row["method"], row["url"]]
    for name, value in request["headers"].items():
        if name not in NOT_SENT:
            words += ["-H", f"{name}: {_with_any_key(name, value)}"]
    if request["body"]:
        words += ["--data-binary", request["body"]]
    note = " (its body was cut at 64 KiB)" if request["truncated"] else ""
    title = f"# {row['number']}: {row['method']} {row['path']} -> {row['status']}{note}"
    return f"{''.join(c if c.isprintable() else ' ' for c in title)}\n{shlex.join(words)}\n"


def _with_any_key(name: str, value: str) -> str:
    return value.replace(REDACTED, "Bearer sk-any" if name == "authorization" else "sk-any")


EXPORTS: Mapping[str, tuple[Callable[[Rows], str], str]] = {
    "jsonl": (as_jsonl, "application/x-ndjson"),
    "har": (as_har, "application/json"),
    "curl": (as_curl, "text/x-shellscript"),
}
