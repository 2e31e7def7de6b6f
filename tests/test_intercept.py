"""`emulator run --intercept`: documented https URLs, what is let out, and handshakes that fail on purpose."""

import json
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import processes
import pytest
from runner import ENVIRONMENT, Ran, python

from emulator.interception.certificates import Authority

ASK = """
import http.client, json, os, socket, ssl, sys, urllib.error, urllib.request
def ask(url="https://gateway.serevixai.ai/v1/chat/completions", prompt="Hi", **more):
    body = {"model": "deepseek-v3", "messages": [{"role": "user", "content": prompt}], **more}
    headers = {"Authorization": "Bearer sk-any", "Content-Type": "application/json"}
    return urllib.request.urlopen(urllib.request.Request(url, json.dumps(body).encode(), headers), timeout=30)
def why(url, **more):
    try:
        return ask(url, **more).status
    except urllib.error.HTTPError as error:
        return error.code
    except urllib.error.URLError as error:
        reason = error.reason
        return getattr(reason, "verify_message", None) or getattr(reason, "reason", None) or str(reason)
    except OSError as error:
        return type(error).__name__
def proxy():
    return socket.create_connection(("127.0.0.1", int(os.environ["HTTPS_PROXY"].rpartition(":")[2])))
"""
HOST = "gateway.serevixai.ai"
SEREVIX = f"https://{HOST}/v1/chat/completions"


def asked(program: str, *options: str) -> Ran:
    return python(f"{ASK}\n{program}", "--intercept", "--speed", "max", *options)


def test_a_documented_url_works_unchanged() -> None:
    done = asked("print(ask().status, json.load(ask())['object'])")
    assert (done.code, done.out, done.err) == (0, "200 chat.completion\n", "")
    assert done.report["providers"] == {"serevix": {"generated": 2}}
    assert done.report["distrusting"] == {}


def test_every_documented_host_is_known() -> None:
    hosts = ["api.maxtoken.io", "deadlock.p.nadles.com", "gateway.serevixai.ai", "genaiapi.cloudsway.net"]
    hosts.append("api.deepseek.com")
    done = asked(f"for host in {hosts}: print(why(f'https://{{host}}/nothing'))")
    assert set(done.out.split()) <= {"403", "404", "400", "401"}
    assert done.report["refused_hosts"] == []
    assert sum(sum(answers.values()) for answers in done.report["providers"].values()) == 5


def test_a_whole_stream_comes_in_its_own_pace() -> None:
    program = """
import time
start = time.monotonic()
lines = [line for line in ask(stream=True, max_tokens=20)]
print(lines[-2], len(lines) > 20, time.monotonic() - start > 0.4)
"""
    done = python(f"{ASK}\n{program}", "--intercept")
    assert done.out == r"b'data: [DONE]\n' True True" + "\n"


def test_an_answer_and_a_request_of_a_megabyte_pass() -> None:
    program = "print(len(json.load(ask(prompt='word ' * 300_000))['choices'][0]['message']['content']))"
    rules = {"version": 1, "rules": [{"name": "large", "reply": {"content": "0123456789" * 150_000}}]}
    done = asked(program, "-s", scenario_file(rules))
    assert (done.out, done.err) == ("1500000\n", "")


def scenario_file(data: object) -> str:
    import tempfile

    with tempfile.NamedTemporaryFile("w", suffix=".yaml", delete=False) as file:
        json.dump(data, file)
    return file.name


def test_nothing_escapes() -> None:
    """Six foreign hosts, six refusals: by CONNECT, in plain HTTP, by address, and at another port."""
    urls = [
        "https://api.llm.example.com/v1/models",
        "https://example.com",
        "http://plain.example.com/x",
        "https://192.0.2.1/",
        "https://example.org:8443/",
        "https://gateway.serevixai.ai.example.net/",
    ]
    done = asked(f"for url in {urls}: print(why(url))")
    hosts = [
        "api.llm.example.com",
        "example.com",
        "plain.example.com",
        "192.0.2.1",
        "example.org:8443",
        "gateway.serevixai.ai.example.net",
    ]
    assert done.report["requests"] == 0
    assert [host.removesuffix(":80") for host in done.report["refused_hosts"]] == hosts
    assert done.err.splitlines() == [
        f"emulator: refused: {host} is not emulated and was blocked. --allow {host.partition(':')[0]} lets it through."
        for host in done.report["refused_hosts"]
    ]
    lines = done.out.splitlines()
    assert [line for line in lines if "is not emulated" in line or line == "403"] == lines
    assert len(lines) == 6


def test_a_host_of_the_user_s_own_is_a_provider_s() -> None:
    program = "print(ask('https://llm.corp.example/v1/chat/completions').status)"
    done = asked(program, "--host", "LLM.corp.example=serevix")
    assert (done.out, done.report["providers"]) == ("200\n", {"serevix": {"generated": 1}})


def test_plain_http_is_answered_over_one_connection() -> None:
    program = """
connection = http.client.HTTPConnection("127.0.0.1", int(os.environ["HTTP_PROXY"].rpartition(":")[2]))
for url in ("http://gateway.serevixai.ai/v1/models", "http://gateway.serevixai.ai/v1/models?x=1"):
    connection.request("GET", url, headers={"Authorization": "Bearer x", "Proxy-Connection": "keep-alive"})
    print(connection.getresponse().read()[:20], connection.sock is not None)
"""
    done = asked(program)
    assert done.out == 'b\'{"data":[{"id":"deep\' True\n' * 2 or done.out.count(" True\n") == 2
    assert done.report["providers"] == {"serevix": {"listing": 2}}


def test_the_next_plain_request_of_a_connection_may_not_go_elsewhere() -> None:
    program = r"""
sock = proxy()
def get(url, host):
    sock.sendall(f"GET {url} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer x\r\n\r\n".encode())
get("http://gateway.serevixai.ai/v1/models", "gateway.serevixai.ai")
print(sock.recv(15))
import time
get("http://example.com/serevix/v1/models", "example.com")
data = b""
while piece := sock.recv(65536): data += piece
print(data.count(b"HTTP/1.1"))
"""
    done = asked(program)
    assert done.out == "b'HTTP/1.1 200 OK'\n0\n"
    assert done.report["requests"] == 1


def test_plain_http_inside_a_tunnel_is_answered() -> None:
    program = r"""
sock = proxy()
sock.sendall(b"CONNECT gateway.serevixai.ai:80 HTTP/1.1\r\nHost: gateway.serevixai.ai:80\r\n\r\n")
print(sock.recv(1000).split(b"\r\n")[0])
sock.sendall(b"GET /v1/models HTTP/1.1\r\nHost: gateway.serevixai.ai\r\nAuthorization: Bearer x\r\n\r\n")
print(sock.recv(15))
"""
    assert asked(program).out == "b'HTTP/1.1 200 Connection established'\nb'HTTP/1.1 200 OK'\n"


@pytest.mark.parametrize(
    ("words", "status"),
    [
        (rb"CONNECT gateway.serevixai.ai HTTP/1.1\r\n\r\n", 400),
        (rb"CONNECT gateway.serevixai.ai:99999 HTTP/1.1\r\n\r\n", 400),
        (rb"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", 400),
        (rb"GET http://[::1 HTTP/1.1\r\n\r\n", 400),
        (rb"nonsense\r\n\r\n", 400),
        (rb"GET http://gateway.serevixai.ai/v1/models HTTP/1.1\r\nX: " + b"x" * 70000, 431),
    ],
)
def test_what_is_no_request_to_a_proxy_is_refused(words: bytes, status: int) -> None:
    program = f"""
sock = proxy()
sock.sendall(b'{words.decode()}')
print(sock.recv(100).split()[1])
"""
    assert asked(program).out == f"b'{status}'\n"


def test_alpn_is_http_1_1_and_the_name_is_the_client_s() -> None:
    program = r"""
def shake(host, name):
    sock = proxy()
    sock.sendall(f"CONNECT {host}:443 HTTP/1.1\r\n\r\n".encode())
    sock.recv(1000)
    context = ssl.create_default_context()
    context.set_alpn_protocols(["h2", "http/1.1"])
    with context.wrap_socket(sock, server_hostname=name) as tls:
        names = tls.getpeercert()["subjectAltName"]
        return tls.selected_alpn_protocol(), names, tls.version()
print(shake("api.deepseek.com", "api.deepseek.com"))
try: shake("api.deepseek.com", "other.example.com")
except ssl.SSLCertVerificationError as error: print(error.verify_code)
"""
    done = asked(program)
    assert done.out == "('http/1.1', (('DNS', 'api.deepseek.com'),), 'TLSv1.3')\n62\n"
    assert done.report["distrusting"] == {"api.deepseek.com": "it does not accept the certificate"}


def test_a_client_that_trusts_other_roots_is_named() -> None:
    program = f"""
context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
handler = urllib.request.HTTPSHandler(context=context)
try: urllib.request.build_opener(handler).open("{SEREVIX}")
except urllib.error.URLError: print("refused")
"""
    done = asked(program)
    assert done.out == "refused\n"
    assert done.report["distrusting"] == {"gateway.serevixai.ai": "it does not trust the certificate's authority"}


@pytest.mark.parametrize(
    ("fault", "words", "count"),
    [
        ("tls_refused", "SSLV3_ALERT_HANDSHAKE_FAILURE", {"refuse": 1}),
        ("tls_reset", "[Errno 104] Connection reset by peer", {"reset": 1}),
        ("tls_expired", "certificate has expired", {"expired": 1}),
        (
            "tls_wrong_host",
            "Hostname mismatch, certificate is not valid for 'gateway.serevixai.ai'.",
            {"wrong_host": 1},
        ),
        ("tls_unknown_ca", "self-signed certificate in certificate chain", {"unknown_ca": 1}),
    ],
)
def test_a_handshake_fails_on_purpose_and_the_next_does_not(fault: str, words: str, count: dict[str, int]) -> None:
    done = asked(f"print(why('{SEREVIX}')); print(why('{SEREVIX}'))", "--fault", f"{fault}:times=1")
    assert done.out == f"{words}\n200\n"
    assert done.report["broken_handshakes"] == count
    assert done.report["distrusting"] == {}
    assert done.report["providers"] == {"serevix": {"generated": 1}}


def test_a_request_asks_for_handshakes_to_fail() -> None:
    program = f"""
print(why(os.environ["SEREVIX_BASE_URL"].replace("/serevix", "/~tls_expired:count=2/serevix") + "/v1/chat/completions"))
for _ in range(3): print(why("{SEREVIX}"))
"""
    done = asked(program)
    assert done.out.splitlines() == ["ConnectionResetError", *["certificate has expired"] * 2, "200"]


def test_a_fault_of_handshakes_without_tls_is_skipped() -> None:
    program = f"{ASK}\nprint(why(os.environ['SEREVIX_BASE_URL'] + '/v1/chat/completions'))"
    done = python(program, "--log", "json", "--fault", "tls_expired")
    assert done.out == "200\n"
    assert json.loads(done.err)["notes"] == [
        "fault tls_expired (server) was skipped: this server doesn't use TLS: `serve --tls` and `run --intercept` do"
    ]


def test_faults_of_http_work_below_tls() -> None:
    """A reset is a real RST, an end is one that TLS announces. Python's own TLS hides the difference."""
    program = r"""
def ended(fault):
    sock = proxy()
    sock.sendall(b"CONNECT gateway.serevixai.ai:443 HTTP/1.1\r\n\r\n")
    sock.recv(1000)
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = ssl.create_default_context().wrap_bio(incoming, outgoing, server_hostname="gateway.serevixai.ai")
    def until_done(work):
        while True:
            try: return work()
            except ssl.SSLWantReadError:
                sock.sendall(outgoing.read())
                data = sock.recv(65536)
                incoming.write(data) if data else incoming.write_eof()
    until_done(tls.do_handshake)
    body = json.dumps({"model": "deepseek-v3", "stream": True, "messages": [{"role": "user", "content": "Hi"}]})
    head = f"POST /~{fault}/v1/chat/completions HTTP/1.1\r\nHost: gateway.serevixai.ai\r\nAuthorization: Bearer x\r\n"
    tls.write(f"{head}Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode())
    data = b""
    try:
        while piece := until_done(lambda: tls.read(65536)): data += piece
        return data[9:12], data.count(b"data: "), "announced"
    except ssl.SSLZeroReturnError:
        return data[9:12], data.count(b"data: "), "announced"
    except OSError as error:
        return data[9:12], data.count(b"data: "), type(error).__name__
for fault in ("reset:after_tokens=3", "close:after_events=2", "429,probability=1", "refuse_connections:seconds=0.1"):
    print(*ended(fault.replace("429,", "error:status=429,") + ("" if "429" not in fault else "/~no_length_close")))
"""
    done = asked(program)
    assert done.out.splitlines() == [
        "b'200' 4 ConnectionResetError",
        "b'200' 2 announced",
        "b'429' 0 announced",
        "b'' 0 ConnectionResetError",
    ]


def test_namespaces_are_as_ever() -> None:
    rules = {"version": 1, "rules": [{"name": "n", "reply": {"content": "{{ attempt }}"}}]}
    program = f"""
for prefix in ("", "@a/", "@a/", "@b/"):
    url = "{SEREVIX}".replace(".ai/", ".ai/" + prefix)
    print(json.load(ask(url))["choices"][0]["message"]["content"])
"""
    assert asked(program, "-s", scenario_file(rules)).out == "1\n1\n2\n1\n"


# What is allowed


@contextmanager
def upstream(host: str) -> Iterator[tuple[int, bytes]]:
    """An https server of somebody else, with a certificate of its own authority."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = f"{self.path} {self.headers['Host']}".encode()
            self.send_response(200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    authority = Authority.new()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    server.socket = authority.context(host).wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server.server_address[1], authority.pem
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_loopback_is_passed_on_and_the_user_s_own_roots_stay_trusted(tmp_path: Path) -> None:
    own = tmp_path / "own.pem"
    with upstream("localhost") as (port, pem):
        own.write_bytes(pem)
        program = f"""
sock = proxy()
sock.sendall(b"CONNECT localhost:{port} HTTP/1.1\\r\\n\\r\\n")
print(sock.recv(1000).split(b"\\r\\n")[0])
tls = ssl.create_default_context().wrap_socket(sock, server_hostname="localhost")
tls.sendall(b"GET /through HTTP/1.1\\r\\nHost: x\\r\\nConnection: close\\r\\n\\r\\n")
print(tls.makefile("rb").read().rpartition(b"\\r\\n")[2])
print(urllib.request.urlopen("https://localhost:{port}/direct").read())
print(why("{SEREVIX}"))
"""
        done = python(f"{ASK}\n{program}", "--intercept", environment={"SSL_CERT_FILE": str(own)})
    assert done.out.splitlines() == [
        "b'HTTP/1.1 200 Connection established'",
        "b'/through x'",
        f"b'/direct localhost:{port}'",
        "200",
    ]


def test_an_allowed_host_is_reached_and_an_unreachable_one_is_said() -> None:
    """No such host can exist, so nothing leaves this machine."""
    done = asked("print(why('https://allowed.invalid/'))", "--allow", "*.invalid")
    assert done.out.startswith("Tunnel connection failed: 502 allowed.invalid cannot be reached: ")
    assert done.report["refused_hosts"] == []


# `serve --tls`


@contextmanager
def serving(*options: str) -> Iterator[int]:
    process = processes.Popen(
        [*processes.COMMAND, "serve", "--port", "0", "--log", "off", *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=ENVIRONMENT,
    )
    assert process.stdout is not None
    try:
        first = process.stdout.readline()
        assert first.startswith("The emulator is listening on https://127.0.0.1:"), first
        yield int(first.split()[5].rstrip(".").rpartition(":")[2])
    finally:
        process.terminate()
        process.communicate(timeout=20)


def shaken(port: int, name: str, authority: Path) -> tuple[object, ...]:
    """What a handshake with a name gives: the names in the certificate, and the first line of an answer."""
    import socket

    context = ssl.create_default_context(cafile=str(authority))
    with socket.create_connection(("127.0.0.1", port)) as sock, context.wrap_socket(sock, server_hostname=name) as tls:
        tls.sendall(f"GET /v1/models HTTP/1.1\r\nHost: {name}\r\nAuthorization: Bearer x\r\n\r\n".encode())
        line = tls.recv(15)
        certificate = tls.getpeercert()
        assert certificate is not None
        return certificate["subjectAltName"], line


def test_serve_speaks_tls_with_an_authority_in_a_folder(tmp_path: Path) -> None:
    folder = tmp_path / "tls folder"
    ok = b"HTTP/1.1 200 OK"
    for _ in range(2):  # the second server takes what the first one wrote
        with serving("--tls", str(folder)) as port:
            name = "gateway.serevixai.ai"
            assert shaken(port, name, folder / "ca.pem") == ((("DNS", name),), ok)
            assert shaken(port, "serevix.localhost", folder / "ca.pem")[1] == ok
            assert ("IP Address", "127.0.0.1") in shaken(port, "127.0.0.1", folder / "ca.pem")[0]  # type: ignore[operator]
    assert sorted(path.name for path in folder.iterdir()) == ["ca-key.pem", "ca.pem"]
    assert (folder / "ca-key.pem").stat().st_mode & 0o777 == 0o600


def test_serve_speaks_tls_with_a_given_certificate(tmp_path: Path) -> None:
    certificate, key = given(tmp_path)
    with serving("--tls-cert", str(certificate), "--tls-key", str(key)) as port:
        assert shaken(port, "my.host", certificate)[0] == (("DNS", "my.host"),)


def test_serve_lets_handshakes_fail(tmp_path: Path) -> None:
    with serving("--tls", str(tmp_path), "--fault", "tls_wrong_host:times=1") as port:
        with pytest.raises(ssl.SSLCertVerificationError, match="Hostname mismatch"):
            shaken(port, "gateway.serevixai.ai", tmp_path / "ca.pem")
        assert shaken(port, "gateway.serevixai.ai", tmp_path / "ca.pem")[1] == b"HTTP/1.1 200 OK"


def given(folder: Path) -> tuple[Path, Path]:
    """A self-signed certificate and its key."""
    certificate, key = folder / "cert.pem", folder / "key.pem"
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=my.host"
    files = ["-addext", "subjectAltName=DNS:my.host", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run([*command.split(), *files], check=True, capture_output=True)
    return certificate, key


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--tls-cert", "missing.pem", "--tls-key", "k.pem"), "there is no file missing.pem"),
        (("--tls-cert", "missing.pem"), "--tls-cert and --tls-key must be used together"),
        (("--tls", "x", "--tls-cert", "y", "--tls-key", "z"), "Choose one of the two"),
        (("--tls", "/dev/null/x"), "--tls needs a writable folder"),
    ],
)
def test_serve_says_which_certificate_cannot_be_used(options: tuple[str, ...], words: str) -> None:
    command = [*processes.COMMAND, "serve", "--port", "0", *options]
    done = processes.run(command, capture_output=True, text=True, env=ENVIRONMENT, check=False, timeout=30)
    assert (done.returncode, done.stdout) == (2, "")
    assert words in done.stderr
    assert "Traceback" not in done.stderr
