"""Real bugs of clients, each reproduced by a client of a few lines, and correct clients that must not be blamed."""

import time

from little_client import Client, Message, assistant, user
from test_answers import QUESTION, calls, result

pytest_plugins = ["judging"]


def test_retry_after_is_ignored(client: Client) -> None:
    client.namespace.faults.add("error:status=429,retry_after=20,times=3")
    for attempt in range(4):
        client.post()
        time.sleep(0.12 * 2**attempt)
    assert client.found() == {"retry_after_ignored": [1, 2]}


def test_the_outer_of_two_layers_ignores_it(client: Client) -> None:
    """The inner layer waits as it should; the outer one, which knows nothing of it, starts all over."""
    for wait in (0.3, 20, 20):
        client.namespace.faults.next({"kind": "error", "status": 429, "retry_after": wait, "retry_form": "ms"})
    for _ in range(2):
        client.post(headers={"x-stainless-retry-count": "0"})
        time.sleep(0.35)
        client.post(headers={"x-stainless-retry-count": "1"})
    assert client.found() == {"retry_after_ignored": [2, 3]}


def test_payment_required_is_retried(client: Client) -> None:
    client.namespace.faults.add("error:status=402,times=2")
    for _ in range(3):
        client.post()
    assert client.found() == {"retried_non_retryable": [1, 2]}


def test_a_refusal_is_asked_for_without_an_end(client: Client) -> None:
    client.namespace.faults.add("error:name=content_policy")
    for _ in range(12):
        client.post()
    found = client.found()
    assert (found["retry_storm"], found["retried_non_retryable"]) == (list(range(1, 13)), [1, 2])


def test_unauthorized_is_retried(client: Client) -> None:
    client.namespace.faults.next("error:status=401")
    client.post()
    client.post()
    assert client.found() == {"retried_non_retryable": [1, 2]}


def test_text_is_doubled(client: Client) -> None:
    client.namespace.faults.next("reset:after_tokens=3")
    shown = "".join(client.text(client.post()) for _ in range(2))
    client.post([user("Hi"), assistant(shown), user("Go on")])
    assert shown == "one two threeone two three four five six"
    assert client.found() == {"retried_after_output": [1, 2, 3]}


def test_a_truncated_program_is_run(client: Client) -> None:
    """The piece is taken for the program, run, and its output reported."""
    client.namespace.faults.next("truncate:after_tokens=3")
    program = client.text(client.post("Write a program"))
    client.post([user("Write a program"), assistant(program), user("It printed: error")])
    assert client.found() == {"truncated_stream_accepted": [1, 2]}


def test_a_comment_is_taken_for_data(client: Client) -> None:
    client.namespace.faults.next("keepalive_comments:after_tokens=3,interval=0.01,comment=keep-alive")
    text = client.text(client.post(), takes_comments=True)
    client.post([user("Hi"), assistant(text), user("Go on")])
    assert client.found() == {"comment_as_data": [1, 2]}


def test_reasoning_is_dropped(client: Client) -> None:
    call = calls(client.post(QUESTION, place="deepseek", thinking={"type": "enabled"}))[0]
    turn = assistant("Let me look.", tool_calls=[call])
    client.post([user(QUESTION), turn, result(call)], place="deepseek", thinking={"type": "enabled"})
    assert client.found() == {"reasoning_dropped": [1, 2]}


def test_reasoning_is_dropped_on_responses(client: Client) -> None:
    response = client.post(QUESTION, place="responses", stream=False)
    assert response is not None
    output: list[Message] = response.json()["output"]
    call = next(item for item in output if item["type"] == "function_call")
    kept = [item for item in output if item["type"] != "reasoning"]
    answer = {"type": "function_call_output", "call_id": call["call_id"], "output": "sunny"}
    client.post([user(QUESTION), *kept, answer], place="responses")
    assert client.found() == {"reasoning_dropped": [1, 2]}


def test_upstream_is_left_open(client: Client) -> None:
    """A gateway says that its own client has gone, and reads on."""
    client.namespace.faults.next("stall:after_tokens=2,seconds=1.6")
    with client.opened() as response:
        chunks = response.iter_raw()
        next(chunks)
        client.namespace.acknowledge(1, "partial")
        list(chunks)
    assert client.found() == {"left_open_after_abort": [1]}


def test_billed_usage_is_lost_on_cancel(client: Client) -> None:
    client.namespace.faults.next("stall:after_tokens=3")
    with client.opened() as response:
        next(response.iter_raw())
    client.namespace.acknowledge(1, "partial", usage={"prompt": 0, "completion": 0})
    assert client.found() == {"usage_lost": [1]}


def test_cut_off_arguments_are_replayed(client: Client) -> None:
    client.namespace.faults.next("tool_arguments")
    call = calls(client.post(QUESTION))[0]
    client.post([user(QUESTION), assistant("Let me look.", tool_calls=[call]), result(call)])
    assert client.found() == {"tool_arguments_replayed_invalid": [1, 2]}


def test_dead_calls_come_back_to_life(client: Client) -> None:
    """The turn broke off, was shown as failed, and is in the history of the next request all the same."""
    client.namespace.faults.next("reset:after_tokens=16")
    call = calls(client.post(QUESTION))[0]
    call["function"]["arguments"] = '{"city": "Bern"}'
    client.post([user(QUESTION), assistant("Let me look.", tool_calls=[call]), result(call), user("Go on")])
    assert client.found() == {"truncated_stream_accepted": [1, 2]}


# Innocents that an earlier judge blames


def test_raising_on_truncation_is_right(client: Client) -> None:
    client.namespace.faults.next("truncate:after_tokens=3")
    client.post()
    client.namespace.acknowledge(1, "failed", error="the stream ended early")
    client.post("Something else")
    assert (client.found(), client.unknown()) == ({}, {})


def test_fail_over_to_another_model_is_right(client: Client) -> None:
    client.namespace.faults.next("error:status=429,retry_after=60")
    client.post()
    client.post(model="deepseek-r1")
    client.post("Something else", model="deepseek-r1")
    assert client.found() == {}


def test_thirty_calls_that_differ_are_no_storm(client: Client) -> None:
    """And thirty attempts that differ in one field are: `test_retries` has them."""
    for number in range(30):
        client.post(f"Question {number}")
    assert client.found() == {}


def test_no_client_at_all_is_innocent(client: Client) -> None:
    assert client.verdict().to_dict() == {"findings": [], "unknown": []}
