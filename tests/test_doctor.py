"""What `emulator doctor` says about a machine where something stands in the way."""

import json
import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator
from importlib import metadata
from typing import Any

import pytest
from click.testing import CliRunner

from emulator.cli import doctor
from emulator.cli.doctor import Finding

CHECKS: dict[str, Callable[[int], Iterator[Finding]]] = {check.__name__: check for check in doctor.CHECKS}


def found(name: str, port: int = 8080) -> list[Finding]:
    return list(CHECKS[name](port))


def test_dependencies_outside_their_tested_ranges_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    versions = {"old": "1.9", "new": "3.0", "fine": "2.5.dev1", "any": "1"}

    def version(name: str) -> str:
        if name not in versions:
            raise metadata.PackageNotFoundError(name)
        return versions[name]

    wanted = [
        "old>=2,<3",
        "new >= 2, < 3",
        "fine!=2.3,>=2.x",
        "any",
        "gone>=1",
        "other>=1; os_name == 'nt'",
        "x; extra == 'x'",
    ]
    monkeypatch.setattr(metadata, "requires", lambda name: wanted)
    monkeypatch.setattr(metadata, "version", version)
    words = "old is 1.9, but only >=2,<3 is tested; new is 3.0, but only >= 2, < 3 is tested; gone is missing"
    assert found("_versions") == [
        Finding("versions", "error", words, "Reinstall: pip install --upgrade llm-provider-emulator")
    ]


def test_base_urls_on_this_machine_are_tested_where_their_path_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("emulator.interception.environment.BASE_URLS", ("ANTHROPIC_BASE_URL", "OPENAI_BASE_URL"))
    monkeypatch.setenv("ANTHROPIC_BASE_URL", "http://localhost:1/anthropic/v1")
    monkeypatch.setenv("OPENAI_BASE_URL", "http://localhost:1/openai")
    words = "OPENAI_BASE_URL=http://localhost:1/openai: the path for openai is /openai/v1"
    mend = "export OPENAI_BASE_URL=http://localhost:1/openai/v1"
    assert found("_base_urls") == [Finding("base URLs", "error", words, mend)]


def test_a_port_in_use_is_named() -> None:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        sock.listen()
        port = sock.getsockname()[1]
        mend = "Use a free port: emulator serve --port 0. `emulator run` always does."
        assert found("_port", port) == [
            Finding("port", "warning", f"cannot listen on {port}: Address already in use", mend)
        ]


def test_a_low_limit_of_files_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    import resource

    monkeypatch.setattr(resource, "getrlimit", lambda kind: (256, 256))
    mend = "Raise the limit for load tests: ulimit -n 65536"
    assert found("_files") == [
        Finding("files", "warning", "at most 256 files and connections may be open at once", mend)
    ]


@pytest.mark.parametrize(
    ("addresses", "finding"),
    [
        (
            ["127.0.0.1", "::1"],
            Finding(
                "localhost",
                "ok",
                "resolves to ::1 and 127.0.0.1, but `serve` listens only on 127.0.0.1",
                "Clients that try only ::1 need 127.0.0.1 in their URL.",
            ),
        ),
        (["127.0.0.1"], Finding("localhost", "ok", "resolves to 127.0.0.1")),
        (
            None,
            Finding("localhost", "error", "cannot be resolved: no name", "Add `127.0.0.1 localhost` to /etc/hosts."),
        ),
    ],
)
def test_what_localhost_resolves_to(
    monkeypatch: pytest.MonkeyPatch, addresses: list[str] | None, finding: Finding
) -> None:
    def resolve(*_: Any, **__: Any) -> list[Any]:
        if addresses is None:
            raise OSError("no name")
        return [(0, 0, 0, "", (address, 0)) for address in addresses]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    assert found("_localhost") == [finding]


@pytest.mark.parametrize(
    ("stdout", "stderr", "reasons"),
    [
        ('{"node": "", "curl": "refused"}', "", {"node": "", "curl": "refused"}),
        ("", "one\nthe port is taken\n", {"node": "the port is taken", "curl": "the port is taken"}),
        (
            "",
            "",
            dict.fromkeys(("node", "curl"), "`emulator run` failed without a message"),
        ),
    ],
)
def test_each_installed_client_has_a_finding(
    monkeypatch: pytest.MonkeyPatch, stdout: str, stderr: str, reasons: dict[str, str]
) -> None:
    def run(words: list[str], **_: Any) -> "subprocess.CompletedProcess[str]":
        assert set(json.loads(words[-1])) == {"node", "curl"}
        return subprocess.CompletedProcess(words, 0, stdout, stderr)

    monkeypatch.setattr(doctor, "PYTHON_CLIENTS", ())
    monkeypatch.setattr(shutil, "which", lambda name: f"/bin/{name}")
    monkeypatch.setattr(subprocess, "run", run)
    assert found("_clients") == [
        Finding(name, "error", f"{name} at /bin/{name}: {reason}", "See docs/running.md, “Clients”.")
        if reason
        else Finding(name, "ok", f"{name} at /bin/{name} reaches the emulator with `run --intercept`")
        for name, reason in reasons.items()
    ]


@pytest.mark.parametrize("as_json", [False, True])
def test_findings_are_printed_with_how_to_mend_them(monkeypatch: pytest.MonkeyPatch, as_json: bool) -> None:
    findings = [Finding("python", "ok", "3.14"), Finding("versions", "error", "x is missing", "Reinstall.")]
    monkeypatch.setattr(doctor, "CHECKS", (lambda port: iter(findings),))
    result = CliRunner().invoke(doctor.command, ["--json"] if as_json else [])
    assert result.exit_code == 1
    if as_json:
        assert json.loads(result.output) == {"ok": False, "findings": [each._asdict() for each in findings]}
    else:
        assert result.output == (
            "ok   python       3.14\nNO   versions     x is missing\n                  Reinstall.\n"
        )
