"""Answers that are wrong as a whole: their status, their type, their form."""

from typing import Any

import pytest
from raw import exchange
from rawhttp import request
from tables import each_of
from talk import EVERY_PROVIDER
from virtual import (
    BODY,
    CHUNK,
    COUNTS,
    DONE,
    EVENTS,
    PARTS,
    PROMPTS,
    TYPED,
    USAGE,
    Case,
    Virtual,
    chunks,
    framed,
    head,
    is_described,
    of_family,
    seen,
    stream,
    sweep,
    whole,
    whole_case,
)

from emulator.errors import UsageError
from emulator.faults import fault_of

pytest_plugins = ["leaping"]

JSON = b"content-type: application/json\r\n"
ERROR = '{"error":{"message":"%s","type":"%s"}}'
BUSY = ERROR % ("Service Unavailable", "503")
LIMITED = ERROR % ("Too Many Requests", "429")
PORTAL = whole(
    '<!DOCTYPE html>\n<html lang="en">\n<head><meta charset="utf-8"><title>Sign in to continue</title></head>\n<body>\n'
    "<h1>Sign in to continue</h1>\n<p>This network asks you to sign in before you can reach the Internet.</p>\n"
    '<form method="post" action="/login">\n<label>Name <input name="name"></label>\n'
    '<label>Password <input name="password" type="password"></label>\n<button>Sign in</button>\n</form>\n</body>\n'
    "</html>\n",
    headers=b"content-type: text/html; charset=utf-8\r\ncache-control: no-store\r\n",
)
NO_CHOICES = '{"id":"one","object":"chat.completion","created":1,"model":"deepseek-r1","choices":%s,"usage":%s}'


def gateway(status: bytes, title: str, server: str, more: bytes = b"") -> bytes:
    """A page in the format of nginx and its descendants."""
    body = (
        f"<html>\r\n<head><title>{title}</title></head>\r\n<body>\r\n<center><h1>{title}</h1></center>\r\n"
        f"<hr><center>{server}</center>\r\n</body>\r\n</html>\r\n"
    ).encode()
    lines = b"server: %b\r\ncontent-type: text/html\r\n%b" % (server.encode(), more)
    return whole(body, status, lines)


def limited(header: bytes) -> bytes:
    return whole(LIMITED, b"429 Too Many Requests", JSON + header)


def emptied(choices: bytes) -> bytes:
    """The stream whose every event has these choices."""
    events = [*[framed(CHUNK % ("", ""))] * 5, framed(CHUNK % ("", USAGE))]
    return stream(*[each.replace(b'"choices":[]', b'"choices":' + choices) for each in events], DONE)


CASES = [
    Case("error:name=overloaded", whole(BUSY, b"503 Service Unavailable")),
    whole_case("error:status=529", whole(ERROR % ("Overloaded", "529"), b"529 ")),
    whole_case("error:status=429,retry_after=2", limited(b"retry-after: 2\r\n")),
    whole_case("error:status=429,retry_after=2.5,retry_form=ms", limited(b"retry-after-ms: 2500\r\n")),
    whole_case("error:status=429,retry_after=2,retry_form=none", limited(b"")),
    whole_case("error:status=429,retry_form=zero", limited(b"retry-after: 0\r\n")),
    whole_case("error:status=429,retry_form=negative", limited(b"retry-after: -5\r\n")),
    whole_case("error:status=429,retry_form=garbage", limited(b"retry-after: soon\r\n")),
    whole_case("error:status=429,retry_form=huge", limited(b"retry-after: 31536000\r\n")),
    whole_case("error:status=429,should_retry=false", limited(b"x-should-retry: false\r\n")),
    Case("html_gateway", gateway(b"502 Bad Gateway", "502 Bad Gateway", "nginx")),
    Case(
        "html_gateway:status=504,server=openresty",
        gateway(b"504 Gateway Timeout", "504 Gateway Time-out", "openresty"),
    ),
    whole_case(
        "html_gateway:status=503", gateway(b"503 Service Unavailable", "503 Service Temporarily Unavailable", "nginx")
    ),
    Case("captive_portal", PORTAL),
    whole_case("captive_portal", PORTAL),
    Case("error_200", whole(ERROR % ("Internal server error", "500"))),
    whole_case("error_200:name=overloaded,message=Later", whole(ERROR % ("Later", "503"))),
    Case("empty_200", stream()),
    whole_case("empty_200", whole("")),
    whole_case("truncated_json", whole(BODY.encode()[: len(BODY.encode()) // 2])),
    whole_case("truncated_json:after_bytes=20", whole('{"id":"one","object"')),
    whole_case("truncated_json:after_bytes=99999", whole(BODY[:-1])),
    Case(
        "wrong_content_type",
        head(b"cache-control: no-cache\r\ncontent-type: text/plain; charset=utf-8\r\n") + chunks(EVENTS) + b"0\r\n\r\n",
    ),
    Case(
        "wrong_content_type:content_type=application/json",
        head(b"cache-control: no-cache\r\ncontent-type: application/json\r\n") + chunks(EVENTS) + b"0\r\n\r\n",
    ),
    Case("wrong_content_type:content_type=", head(b"cache-control: no-cache\r\n") + chunks(EVENTS) + b"0\r\n\r\n"),
    whole_case(
        "wrong_content_type",
        head(b"content-length: %d\r\ncontent-type: text/event-stream\r\n" % len(BODY.encode()), chunked=False)
        + BODY.encode(),
    ),
    Case("ignored_stream_flag", whole(BODY)),
    whole_case("ignored_stream_flag", stream(*EVENTS)),
    whole_case("empty_choices", whole(NO_CHOICES % ("[]", COUNTS))),
    whole_case("empty_choices:value=null", whole(NO_CHOICES % ("null", COUNTS))),
    Case("empty_choices", emptied(b"[]")),
    Case("empty_choices:value=null", emptied(b"null")),
]
SWEPT = {case.fault: case for case in [*CASES, Case("html_gateway:status=524,server=cloudflare", b"")]}


@each_of("case", CASES, ids=str)
def test_the_wire_shows_exactly_this(each: Virtual, case: Case) -> None:
    answer = each.get(case.fault, case.prompt, streamed=case.streamed)
    assert answer == (case.expected, case.ending)
    assert each.record().notes == ()


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("provider", EVERY_PROVIDER)
def test_each_fault_suits_each_provider(virtual: Virtual, provider: str, part: str) -> None:
    sweep(virtual, provider, list(SWEPT.values()), part)


def test_each_fault_is_described_and_shown() -> None:
    kinds = of_family("status")
    assert all(is_described(kind) for kind in kinds.values())
    assert {case.fault.partition(":")[0] for case in CASES} == kinds.keys() - TYPED


# Gateways


@pytest.mark.parametrize("provider", EVERY_PROVIDER)
def test_a_gateway_sends_none_of_the_headers_of_the_provider(virtual: Virtual, provider: str) -> None:
    answer = virtual.get("html_gateway", provider=provider)
    assert answer == (gateway(b"502 Bad Gateway", "502 Bad Gateway", "nginx"), "eof")


def test_nginx_closes_the_connection_after_a_failure_of_its_own(virtual: Virtual) -> None:
    data, _ = virtual.get("html_gateway:status=500")
    assert data.split(b"\r\n")[:5] == [
        b"HTTP/1.1 500 Internal Server Error",
        b"server: nginx",
        b"content-type: text/html",
        b"connection: close",
        b"content-length: 170",
    ]


def test_cloudflare_tells_a_ray(virtual: Virtual) -> None:
    data, _ = virtual.get("html_gateway:server=cloudflare")
    top, _, body = data.partition(b"\r\n\r\n")
    ray = next(line for line in top.split(b"\r\n") if line.startswith(b"cf-ray: "))
    assert len(ray) == len(b"cf-ray: ") + 16 + len(b"-FRA")
    assert data == gateway(b"502 Bad Gateway", "502 Bad Gateway", "cloudflare", ray + b"\r\n")
    assert len(body) == 155


def test_cloudflare_tells_a_timeout_in_plain_text(virtual: Virtual) -> None:
    data, _ = virtual.get("html_gateway:status=524,server=cloudflare")
    top, _, body = data.partition(b"\r\n\r\n")
    assert top.startswith(b"HTTP/1.1 524 \r\nserver: cloudflare\r\ncontent-type: text/plain; charset=UTF-8\r\n")
    assert body == b"error code: 524"


def test_the_journal_knows_the_status_of_a_gateway(virtual: Virtual) -> None:
    virtual.get("html_gateway:status=503")
    assert (virtual.record().status, virtual.record().outcome) == (503, "error")


def test_the_first_error_wins(virtual: Virtual) -> None:
    data, _ = virtual.get("error:name=overloaded; html_gateway; captive_portal")
    assert data == whole(BUSY, b"503 Service Unavailable")
    assert virtual.record().notes == (
        "fault html_gateway (header) was skipped: another error came first",
        "fault captive_portal (header) was skipped: another error came first",
    )


# The same in the words of each provider


@pytest.mark.parametrize("name", ["overloaded", "unauthorized", "content_policy"])
@each_of("provider", EVERY_PROVIDER)
def test_an_error_under_200_is_the_error_of_the_provider(virtual: Virtual, provider: str, name: str) -> None:
    def reported(fault: str) -> tuple[bytes, Any]:
        data, _ = virtual.get(f"{fault}:name={name}", "Hi", provider=provider, user=f"{fault}{name}")
        top, _, body = data.partition(b"\r\n\r\n")
        said = body.partition(b" (request id: ")[0]  # which differs, as it should
        return top.split(b"\r\n")[0], said

    status, body = reported("error_200")
    assert status == b"HTTP/1.1 200 OK"
    assert body == reported("error")[1]
    assert body


def test_an_error_under_200_tells_the_request_id_of_its_headers(virtual: Virtual) -> None:
    data, _ = virtual.get("error_200:name=unauthorized", provider="serevix")
    top, _, body = data.partition(b"\r\n\r\n")
    request_id = next(line for line in top.split(b"\r\n") if line.startswith(b"x-oneapi-request-id: ")).split(b" ")[1]
    assert b"(request id: %b)" % request_id in body


@pytest.mark.parametrize("prompt", PROMPTS[:-1])
@each_of("provider", EVERY_PROVIDER)
def test_the_other_form_is_the_healthy_answer_to_who_asks_for_it(virtual: Virtual, provider: str, prompt: str) -> None:
    for streamed in (True, False):
        other, _ = virtual.get("ignored_stream_flag", prompt, streamed=streamed, provider=provider)
        healthy, _ = virtual.get("", prompt, streamed=not streamed, provider=provider)
        assert seen(other) == seen(healthy)


@pytest.mark.parametrize("provider", EVERY_PROVIDER)
def test_the_choices_are_empty_wherever_they_stand(virtual: Virtual, provider: str) -> None:
    body = virtual.body("empty_choices", provider=provider)
    assert body.get("model_response", body)["choices"] == []
    chunks = virtual.events("empty_choices:value=null", provider=provider)
    assert [chunk["choices"] for chunk in chunks if "choices" in chunk] == [None] * sum("choices" in c for c in chunks)


# What cannot be done


@pytest.mark.parametrize(
    ("fault", "prompt", "streamed", "reason"),
    [
        ("truncated_json", "Hi", True, "the answer is a stream"),
        ("empty_200", "Refuse", True, "the answer has status 503"),
        ("ignored_stream_flag", "Refuse", True, "the answer doesn't come from a model"),
        ("empty_choices", "Refuse", False, "the answer doesn't come from a model"),
    ],
)
def test_a_fault_that_cannot_be_applied_is_reported(
    virtual: Virtual, fault: str, prompt: str, streamed: bool, reason: str
) -> None:
    healthy, _ = virtual.get("", prompt, streamed=streamed)
    data, ending = virtual.get(fault, prompt, streamed=streamed)
    assert (seen(data), ending) == (seen(healthy), "eof")
    assert virtual.record().notes == (f"fault {fault} (header) was skipped: {reason}",)


def test_two_of_a_kind_undo_each_other_and_say_so(virtual: Virtual) -> None:
    data, _ = virtual.get("ignored_stream_flag; ignored_stream_flag")
    assert data == stream(*EVENTS)
    assert (
        virtual.record().notes
        == ("fault ignored_stream_flag (header) was skipped: a second fault of this kind undid it",) * 2
    )


@pytest.mark.parametrize(
    ("fault", "complaint"),
    [
        ("html_gateway:status=524", "only Cloudflare sends 524: set server=cloudflare"),
        ("error:name=overlooded", "is 'overlooded'. Did you mean 'overloaded'?"),
        ("error_200:name=nope", "is 'nope'."),
        ("wrong_content_type:content_type=text/plain\r\nx: y", "content_type"),
    ],
)
def test_nonsense_is_refused_with_a_reason(fault: str, complaint: str) -> None:
    with pytest.raises(UsageError) as caught:
        fault_of(fault)
    assert complaint in str(caught.value)


def test_a_list_of_models_can_be_cut_too(virtual: Virtual) -> None:
    asked = request(
        "/serevix/v1/models", method="GET", authorization="Bearer k", connection="close",
        x_emulator_fault="truncated_json; ignored_stream_flag",
    )  # fmt: skip
    data, ending = exchange(virtual.address, asked)
    top, _, body = data.partition(b"\r\n\r\n")
    assert (ending, body[:9]) == ("eof", b'{"data":[')
    assert b"\r\ncontent-length: %d" % len(body) in top
    assert not body.endswith(b"}")
