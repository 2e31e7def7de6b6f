"""Findings about what a client makes of an answer: each with a guilty and an innocent client."""

import json
from typing import Any

import pytest
from little_client import Client, Message, assistant, user

pytest_plugins = ["judging"]
both = pytest.mark.parametrize("is_guilty", [True, False], ids=["guilty", "innocent"])
QUESTION = "What is the weather in Bern?"


@both
@pytest.mark.parametrize("fault", ["truncate", "reset", "close"])
def test_truncated_streams(client: Client, fault: str, is_guilty: bool) -> None:
    client.namespace.faults.next(f"{fault}:after_tokens=3")
    piece = client.text(client.post())
    history = [user("Hi"), assistant(piece)] if is_guilty else []
    client.post([*history, user("Go on")])
    assert piece == "one two three"
    assert client.found() == ({"truncated_stream_accepted": [1, 2]} if is_guilty else {})


@both
def test_truncated_messages(client: Client, is_guilty: bool) -> None:
    client.namespace.faults.next("truncate:after_tokens=3")
    piece = client.text(client.post(place="messages"))
    again = piece if is_guilty else client.text(client.post(place="messages"))
    client.post([user("Hi"), assistant(again), user("Go on")], place="messages")
    assert client.found() == ({"truncated_stream_accepted": [1, 2]} if is_guilty else {})


@both
def test_a_truncated_response(client: Client, is_guilty: bool) -> None:
    client.namespace.faults.next("truncate:after_tokens=3")
    piece = client.text(client.post(place="responses"))
    again = piece if is_guilty else client.text(client.post(place="responses"))
    client.post([user("Hi"), assistant(again), user("Go on")], place="responses")
    assert client.found() == ({"truncated_stream_accepted": [1, 2]} if is_guilty else {})


@pytest.mark.parametrize("word", ["complete", "partial", "failed"])
def test_a_client_can_say_how_it_ended(client: Client, word: str) -> None:
    client.namespace.faults.next("truncate:after_tokens=3")
    client.post()
    client.namespace.acknowledge(1, word)
    assert client.found() == ({"truncated_stream_accepted": [1]} if word == "complete" else {})
    assert client.unknown() == {}


@both
def test_a_client_can_say_it_by_a_header(client: Client, is_guilty: bool) -> None:
    """The piece is kept on purpose, marked as such for the user: only the client knows."""
    client.namespace.faults.next("truncate:after_tokens=3")
    piece = client.text(client.post())
    headers = {} if is_guilty else {"x-emulator-acknowledge": "1=partial"}
    client.post([user("Hi"), assistant(piece), user("Go on")], headers=headers)
    assert client.found() == ({"truncated_stream_accepted": [1, 2]} if is_guilty else {})


def test_a_client_that_raises_on_truncation_is_not_blamed(client: Client) -> None:
    """It retries, and the retry breaks no rule for retries."""
    client.namespace.faults.next("truncate:after_tokens=3")
    client.post()
    whole = client.text(client.post())
    client.post([user("Hi"), assistant(whole), user("Go on")])
    assert (client.found(), client.unknown()) == ({}, {})


def test_what_becomes_of_a_piece_is_unknown_until_the_next_request(client: Client) -> None:
    client.namespace.faults.next("truncate:after_tokens=3")
    client.post()
    assert (client.found(), client.unknown()) == ({}, {"truncated_stream_accepted": [1]})


def test_a_stream_without_its_last_mark_but_with_its_reason_is_whole(client: Client) -> None:
    client.namespace.faults.next("no_done")
    text = client.text(client.post())
    client.post([user("Hi"), assistant(text), user("Go on")])
    assert client.found() == {}


@both
def test_a_tool_call_of_a_stream_that_broke(client: Client, is_guilty: bool) -> None:
    """The call of a turn that broke off comes back to life, and is even answered."""
    client.namespace.faults.next("truncate:after_tokens=16")
    call = calls(client.post(QUESTION))[0]
    history = [assistant("Let me look.", tool_calls=[call]), result(call)] if is_guilty else []
    client.post([user(QUESTION), *history] if is_guilty else "Something else")
    found = client.found()
    assert ("truncated_stream_accepted" in found) == is_guilty


@both
@pytest.mark.parametrize("form", ["data", "event"])
def test_an_error_in_the_stream(client: Client, form: str, is_guilty: bool) -> None:
    client.namespace.faults.next({"kind": "error_event", "after_tokens": 3, "form": form})
    piece = client.text(client.post())
    history = [user("Hi"), assistant(piece)] if is_guilty else []
    client.post([*history, user("Go on")])
    assert client.found() == ({"error_event_ignored": [1, 2]} if is_guilty else {})


@both
@pytest.mark.parametrize("place", ["messages", "responses"])
def test_an_error_in_typed_events(client: Client, place: str, is_guilty: bool) -> None:
    client.namespace.faults.next("error_event:after_tokens=3")
    piece = client.text(client.post(place=place))
    history = [user("Hi"), assistant(piece)] if is_guilty else []
    client.post([*history, user("Go on")], place=place)
    assert client.found() == ({"error_event_ignored": [1, 2]} if is_guilty else {})


@both
def test_comments_taken_for_data(client: Client, is_guilty: bool) -> None:
    client.namespace.faults.next("keepalive_comments:after_tokens=3,interval=0.01,comment=keep-alive")
    text = client.text(client.post(), takes_comments=is_guilty)
    client.post([user("Hi"), assistant(text), user("Go on")])
    assert client.found() == ({"comment_as_data": [1, 2]} if is_guilty else {})


def test_an_answer_may_itself_say_keep_alive(client: Client) -> None:
    client.namespace.faults.next("keepalive_comments:after_tokens=3,interval=0.01,comment=keep-alive")
    text = client.text(client.post("Say keep-alive"))
    client.post([user("Say keep-alive"), assistant(text), user("Go on")])
    assert text == "Comments say keep-alive now and then."
    assert client.found() == {}


def test_an_answer_that_the_client_cut_or_changed_is_no_finding(client: Client) -> None:
    client.namespace.faults.next("keepalive_comments:after_tokens=3,interval=0.01,comment=keep-alive")
    client.post()
    client.post([user("Hi"), assistant("One, two: keep-alive is what servers do."), user("Go on")])
    assert client.found() == {}


@both
def test_arguments_that_are_cut_off(client: Client, is_guilty: bool) -> None:
    client.namespace.faults.next("tool_arguments")
    call = calls(client.post(QUESTION))[0]
    if not is_guilty:
        call["function"]["arguments"] = '{"city": "Bern"}'
    client.post([user(QUESTION), assistant("Let me look.", tool_calls=[call]), result(call)])
    assert client.found() == ({"tool_arguments_replayed_invalid": [1, 2]} if is_guilty else {})


@both
def test_reasoning_that_has_to_come_back(client: Client, is_guilty: bool) -> None:
    response = client.post(QUESTION, place="deepseek", thinking={"type": "enabled"})
    call, reasoning = calls(response)[0], "I need the weather."
    more = {} if is_guilty else {"reasoning_content": reasoning}
    turn = assistant("Let me look.", tool_calls=[call], **more)
    client.post([user(QUESTION), turn, result(call)], place="deepseek", thinking={"type": "enabled"})
    assert client.found() == ({"reasoning_dropped": [1, 2]} if is_guilty else {})


@both
def test_reasoning_that_is_refused(client: Client, is_guilty: bool) -> None:
    client.namespace.faults.next("error:status=400,message=reasoning_content is not allowed in the input")
    more = {"reasoning_content": "I need the weather."} if is_guilty else {}
    client.post([user("Hi"), assistant("Hello", **more), user("Go on")])
    assert client.found() == ({"reasoning_passed_when_refused": [1]} if is_guilty else {})


@both
def test_signatures(client: Client, is_guilty: bool) -> None:
    message = json.loads(client.post(QUESTION, place="messages", stream=False, thinking={"type": "enabled"}).text)  # type: ignore[union-attr]
    thought, text, call = message["content"]
    assert thought["signature"]
    if is_guilty:
        thought["signature"] = ""
    answer = {"type": "tool_result", "tool_use_id": call["id"], "content": "sunny"}
    turns: list[Message] = [
        user(QUESTION),
        {"role": "assistant", "content": [thought, text, call]},
        {"role": "user", "content": [answer]},
    ]
    client.post(turns, place="messages", thinking={"type": "enabled"})
    assert client.found() == ({"signature_dropped": [1, 2]} if is_guilty else {})


@both
def test_waiting_for_an_end_that_there_is_not(client: Client, is_guilty: bool) -> None:
    """A client of messages that takes a stream without `[DONE]` for a truncated one, and tries again."""
    client.post(place="messages", headers={"x-stainless-retry-count": "0"})
    client.post(place="messages", headers={"x-stainless-retry-count": "1" if is_guilty else "0"})
    assert ("wrong_dialect_end" in client.found()) == is_guilty


@both
def test_saying_that_the_end_is_missing(client: Client, is_guilty: bool) -> None:
    client.post(place="messages")
    if is_guilty:
        client.namespace.acknowledge(1, "failed", error="stream ended without [DONE]")
    else:
        client.namespace.acknowledge(1, "complete")
    assert client.found() == ({"wrong_dialect_end": [1]} if is_guilty else {})


@both
def test_usage(client: Client, is_guilty: bool) -> None:
    client.post()
    exchange = client.namespace.journal[0]
    assert exchange.usage is not None
    booked = {"prompt": exchange.usage.prompt, "completion": 0 if is_guilty else exchange.usage.completion}
    client.namespace.acknowledge(1, "partial", usage=booked)
    assert client.found() == ({"usage_lost": [1]} if is_guilty else {})


@both
def test_deprecated_parameters(client: Client, is_guilty: bool) -> None:
    more: dict[str, Any] = {"frequency_penalty": 0.5} if is_guilty else {"temperature": 0.5}
    client.post(place="deepseek", thinking={"type": "disabled"}, **more)
    assert client.found() == ({"deprecated_or_ignored_parameter": [1]} if is_guilty else {})


@both
def test_parameters_that_are_not_read(client: Client, is_guilty: bool) -> None:
    more: dict[str, Any] = {"top_k": 5} if is_guilty else {"metadata": {"user": "7"}}
    client.post(**more)
    assert client.found() == ({"deprecated_or_ignored_parameter": [1]} if is_guilty else {})


@both
def test_keys_in_the_body(client: Client, is_guilty: bool) -> None:
    more: dict[str, Any] = {"api_key": client.key} if is_guilty else {}
    client.post(**more)
    assert ("key_leaked" in client.found()) == is_guilty


@both
def test_keys_in_the_url(client: Client, is_guilty: bool) -> None:
    query = {"api_key": client.key} if is_guilty else {"api-version": "1"}
    headers = {"authorization": f"Bearer {client.key}"}
    body = {"model": "deepseek-v3", "messages": [user("Hi")]}
    client.http.post(client.url("serevix"), params=query, json=body, headers=headers)
    assert client.found() == ({"key_leaked": [1]} if is_guilty else {})
    shown = repr(client.namespace.journal[0].details()) + repr(client.verdict().to_dict())
    assert client.key not in shown


def calls(response: Any) -> list[Message]:
    """The tool calls of an answer in chat completions, as far as they came."""
    found: dict[int, Message] = {}
    for line in response.text.splitlines():
        if line.startswith("data: {"):
            for choice in json.loads(line[6:])["choices"]:
                for each in choice["delta"].get("tool_calls") or ():
                    call = found.setdefault(
                        each["index"], {"type": "function", "function": {"name": "", "arguments": ""}}
                    )
                    call["id"] = each.get("id") or call["id"]
                    for name in ("name", "arguments"):
                        call["function"][name] += each["function"].get(name) or ""
    return list(found.values())


def result(call: Message) -> Message:
    return {"role": "tool", "tool_call_id": call["id"], "content": "sunny"}
