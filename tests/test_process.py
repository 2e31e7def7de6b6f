"""The server as a process: no signal is lost, no reader blocks it, and missing dependencies cause one sentence."""

import json
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import processes
import psutil
import pytest
from hits import sampled
from rawhttp import Connection, request
from served import COMMAND, ENVIRONMENT, Served, run, served
from talk import single

from emulator.logs import LogWriter
from emulator.resources import DEFAULT_SCENARIO

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="these processes are those of POSIX")


def shell(command: str, cwd: Path) -> "subprocess.CompletedProcess[str]":
    """`emulator …` with the redirections of a shell."""
    line = f"exec {shlex.join(COMMAND)} {command}"
    return subprocess.run(
        ["/bin/sh", "-c", line], capture_output=True, text=True, timeout=50, check=False,
        env=ENVIRONMENT, cwd=cwd,
    )  # fmt: skip


def until(what: "object", seconds: float = 20.0) -> None:
    assert callable(what)
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "it did not come to pass"
        time.sleep(0.02)


def workers_of(server: Served) -> set[int]:
    return {child.pid for child in psutil.Process(server.process.pid).children()}


def answers(server: Served) -> bool:
    try:
        url = f"http://127.0.0.1:{server.port}/__emulator/health"
        return single.get(url, timeout=5).status_code == 200
    except httpx.HTTPError:
        return False


# Workers


MOMENTS = (0.05, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1.0)


@pytest.mark.parametrize(
    ("number", "moments"),
    [
        (signal.SIGTERM, MOMENTS[::2]),
        (signal.SIGINT, MOMENTS[1::2]),
        pytest.param(signal.SIGTERM, MOMENTS[1::2], marks=pytest.mark.soak),
        pytest.param(signal.SIGINT, MOMENTS[::2], marks=pytest.mark.soak),
    ],
)
def test_a_signal_at_any_moment_of_the_start_ends_all_workers(number: int, moments: Sequence[float]) -> None:
    for delay in moments:
        process = subprocess.Popen(
            [*COMMAND, "serve", "--port", "0", "--workers", "2", "--log", "off"],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=ENVIRONMENT, text=True,
        )  # fmt: skip
        try:
            time.sleep(delay)
            process.send_signal(number)
            _, errors = process.communicate(timeout=20)  # which waits for the last worker to close its pipes
        finally:
            process.kill()
            process.communicate()
        if "Traceback" in errors:  # while Python itself was still starting, before the first line of the emulator
            assert "/emulator/" not in errors
            continue
        assert process.returncode in (0, 128 + number, -number), (delay, errors)


def test_a_storm_of_children_that_end_does_not_lose_the_signal() -> None:
    with served("--workers", "2", "--log", "off") as server:
        for pid in workers_of(server):
            os.kill(pid, signal.SIGKILL)
        server.signal(signal.SIGTERM)
        code, _, errors = server.finish()
    assert code in (0, 1)  # 1: a worker that had been killed is seen after the signal
    assert "Traceback" not in errors


def test_a_killed_worker_is_replaced_at_once_and_the_log_says_so() -> None:
    with served("--workers", "2", "--log", "off", "--speed", "max") as server:
        before = workers_of(server)
        assert len(before) == 2
        victim = min(before)
        started = time.monotonic()
        os.kill(victim, signal.SIGKILL)
        until(lambda: len(workers_of(server) - {victim}) == 2)
        replaced = time.monotonic() - started
        until(lambda: answers(server))
        assert server.process.stderr is not None
        assert re.fullmatch(r"worker [12] ended \(signal 9\), replaced by worker 3\n", server.process.stderr.readline())
        server.signal(signal.SIGTERM)
        code, _, errors = server.finish()
    assert (code, errors) == (0, "")
    assert replaced < 1.5


def test_workers_that_die_before_they_listen_end_the_server_with_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text("import os\nos.register_at_fork(after_in_child=lambda: os._exit(7))\n")
    code, out, err = run(
        "serve", "--port", "0", "--workers", "2", "--log", "off", environment={"PYTHONPATH": str(tmp_path)}
    )
    assert (code, out) == (1, "")
    *replaced, last = err.splitlines()
    assert 1 <= len(replaced) <= 2
    assert all(re.fullmatch(r"worker \d ended \(exit code 7\), replaced by worker \d", line) for line in replaced)
    assert re.fullmatch(
        r"worker \d ended \(exit code 7\) before it could listen, like the 2 before it: stopping the server", last
    )


@pytest.mark.parametrize("first", ["1", "2"])
@pytest.mark.parametrize("second", ["1", "2"])
def test_a_taken_port_is_exit_code_3_with_and_without_workers(first: str, second: str) -> None:
    with served("--workers", first, "--log", "off") as server:
        taken = run("serve", "--port", str(server.port), "--workers", second)
        assert taken == (
            3,
            "",
            f"Cannot listen on 127.0.0.1:{server.port}: Address already in use. "
            "Another program is using this port; choose another with --port.\n",
        )
        assert answers(server)


def test_of_servers_with_workers_that_start_at_once_one_gets_the_port() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [*COMMAND, "serve", "--port", str(port), "--workers", "2", "--log", "off"]
    started = [
        processes.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=ENVIRONMENT) for _ in range(3)
    ]
    try:
        until(lambda: sum(process.poll() is not None for process in started) >= 2, 40)
        assert sorted(str(process.poll()) for process in started) == ["3", "3", "None"]
    finally:
        for process in started:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
            process.communicate(timeout=20)


def test_a_host_that_is_none_is_exit_code_3() -> None:
    host = "a" * 70 + ".example"
    code, out, err = run("serve", "--host", host)
    assert (code, out) == (3, "")
    assert err.startswith(f"Cannot listen on {host}:8080: ")
    assert len(err.splitlines()) == 1


# The log


@pytest.mark.parametrize("workers", ["1", "2"])
@pytest.mark.parametrize("style", ["pretty", "json"])
def test_a_reader_that_does_not_read_stops_neither_answers_nor_the_end(style: str, workers: str) -> None:
    padding = "x" * 3000
    asked = request(f"/serevix/v1/nothing?{padding}", method="GET", x=padding)
    with (
        served("--log", style, "--speed", "max", "--workers", workers) as server,
        Connection(server.port) as connection,
    ):
        for _ in range(60 if style == "pretty" else 12):
            connection.send(asked * 25)
            assert [connection.response().status for _ in range(25)] == [404] * 25
        server.signal(signal.SIGTERM)
        started = time.monotonic()
        assert server.process.wait(20) == 0
        assert time.monotonic() - started < 10


def test_lines_that_nobody_read_are_counted_once_it_flows_again() -> None:
    reader, writer = os.pipe()
    log = LogWriter(writer, max_queued=200_000)
    for number in range(2000):
        log.write(f"{number:>200}")
    with open(reader, encoding="utf-8") as read, ThreadPoolExecutor(1) as pool:
        text = pool.submit(read.read)
        log.close()
        os.close(writer)
        lines = text.result().splitlines()
    said = [line for line in lines if not line.strip().isdecimal()]  # more than one if the writer was quick for a while
    kept = [int(line) for line in lines if line not in said]
    notes = [re.fullmatch(r"(\d+) log lines? (was|were) dropped: nobody read them in time", line) for line in said]
    dropped = [int(note[1]) for note in notes if note is not None]
    assert len(dropped) == len(said)
    assert kept == sorted(set(kept))
    assert sum(dropped) == 2000 - len(kept)
    assert 0 < len(kept) < 2000


def test_json_logs_are_nothing_but_lines_of_json_on_stdout() -> None:
    with served("--log", "json", "--speed", "max", "--fault", "no_done") as server:
        url = f"http://127.0.0.1:{server.port}/serevix/v1/models"
        for _ in range(3):
            single.get(url, headers={"authorization": "Bearer k"})
        server.signal(signal.SIGTERM)
        out, _ = server.process.communicate(timeout=20)
    records = [json.loads(line) for line in out.splitlines()]
    assert [(record["path"], record["status"]) for record in records] == [("/v1/models", 200)] * 3


# What is missing around it


def test_a_full_disk_is_one_sentence() -> None:
    done = shell("providers > /dev/full", cwd=DEFAULT_SCENARIO.parent.parent)
    assert (done.returncode, done.stderr) == (2, "The output cannot be written: No space left on device.\n")


@pytest.mark.parametrize("command", ["faults", "check scenarios", "schema", ""])
def test_a_full_disk_is_one_sentence_for_every_command(command: str) -> None:
    with open("/dev/full", "w") as full:
        done = processes.run(
            [*COMMAND, *command.split()], stdout=full, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT,
            cwd=DEFAULT_SCENARIO.parent.parent,
        )  # fmt: skip
    assert (done.returncode, done.stderr) == (2, "The output cannot be written: No space left on device.\n")


@pytest.mark.parametrize("redirected", ["> /dev/full", "> /dev/full 2>&1"])
def test_what_is_still_to_be_written_at_the_end_may_not_fit(redirected: str) -> None:
    code = "import sys; from emulator.cli import app, main; app.run = lambda: 0; sys.stdout.write('x'); main()"
    done = processes.run(
        f"{sys.executable} -c {shlex.quote(code)} {redirected}", shell=True, capture_output=True, text=True,
        env={**ENVIRONMENT, "PYTHONUNBUFFERED": ""},
    )  # fmt: skip
    said = "" if "2>" in redirected else "The output cannot be written: No space left on device.\n"
    assert (done.returncode, done.stdout, done.stderr) == (2, "", said)


def test_a_full_disk_does_not_stop_the_server() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    line = f"exec {shlex.join(COMMAND)} serve --port {port} > /dev/full"
    process = subprocess.Popen(["/bin/sh", "-c", line], stderr=subprocess.PIPE, text=True, env=ENVIRONMENT)
    try:
        assert process.stderr is not None
        assert process.stderr.readline() == (
            "Cannot write the log: No space left on device. Lines are dropped until writing works again.\n"
        )
        url = f"http://127.0.0.1:{port}/serevix/v1/models"
        assert [single.get(url).status_code for _ in range(3)] == [401, 401, 401]
        process.send_signal(signal.SIGTERM)
        assert process.communicate(timeout=20)[1] == ""
        assert process.returncode == 0
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize(("closed", "workers"), sampled(["<&-", ">&-", "2>&-", "<&- >&- 2>&-"], ["1", "2"]))
def test_closed_descriptors_at_the_start_are_no_obstacle(closed: str, workers: str) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    line = f"exec {shlex.join(COMMAND)} serve --port {port} --workers {workers} {closed}"
    process = subprocess.Popen(
        ["/bin/sh", "-c", line], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT
    )
    try:
        url = f"http://127.0.0.1:{port}/serevix/v1/models"

        def is_answered() -> bool:
            try:
                return single.get(url).status_code == 401
            except httpx.HTTPError:
                return False

        until(is_answered)
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=20)
        assert (process.returncode, errors) == (0, "")
    finally:
        process.kill()
        process.communicate()


def test_a_deleted_folder_is_one_sentence_or_no_obstacle(tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    script = f"mkdir {shlex.quote(str(gone))}; cd {shlex.quote(str(gone))}; rmdir ../gone; exec"
    emulator = str(Path(sys.executable).with_name("emulator"))

    def there(*arguments: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            ["/bin/sh", "-c", f"{script} {shlex.join([emulator, *arguments])}"],
            capture_output=True, text=True, timeout=50, check=False, env=ENVIRONMENT,
        )  # fmt: skip

    lost = there("serve", "--scenario", "hello.yaml")
    assert (lost.returncode, lost.stdout, lost.stderr) == (2, "", "hello.yaml: no such file\n")
    checked = there("check", "hello.yaml")
    assert (checked.returncode, checked.stderr) == (2, "")
    assert checked.stdout == "hello.yaml: no such file\n1 file checked, 1 error.\n"
    fine = there("check", str(DEFAULT_SCENARIO))
    assert (fine.returncode, fine.stdout, fine.stderr) == (0, "1 file checked, no problems.\n", "")
    allowed = there("serve", "--allow-code", "--host", "192.0.2.1")
    assert (allowed.returncode, len(allowed.stderr.splitlines())) == (3, 1)


@pytest.mark.parametrize("name", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_before_the_server_is_there_is_one_sentence(name: signal.Signals) -> None:
    code = f"import os; from emulator.cli import app, main; app.run = lambda: os.kill(os.getpid(), {int(name)}); main()"
    done = processes.run([sys.executable, "-c", code], capture_output=True, text=True, env=ENVIRONMENT)
    assert (done.returncode, done.stdout, done.stderr) == (128 + name, "", "Stopped before the command finished.\n")


def test_ctrl_c_during_the_start_is_one_sentence() -> None:
    # What measures coverage begins before the emulator, and swallows a Ctrl-C in its first moments.
    environment = {name: value for name, value in ENVIRONMENT.items() if not name.startswith("COV")}
    for delay in (0.1, 0.2, 0.3, 0.4, 0.5, 0.7):
        process = subprocess.Popen(
            [*COMMAND, "serve", "--port", "0", "--log", "off"],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment, text=True,
        )  # fmt: skip
        time.sleep(delay)
        process.send_signal(signal.SIGINT)
        try:
            out, errors = process.communicate(timeout=20)
        finally:
            process.kill()  # only if it still runs
        if process.returncode == 130:
            assert errors == "Stopped before the command finished.\n"
        elif process.returncode == 0:
            assert (out.splitlines()[0].startswith("The emulator is listening"), errors) == (True, "")
        else:  # while Python itself was still starting
            assert process.returncode in (1, -signal.SIGINT)
            assert "/emulator/" not in errors
