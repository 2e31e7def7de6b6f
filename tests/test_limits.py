"""Functions stay short, classes narrow and calls readable, so that each can be read in one go."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from tables import each_of

import emulator

CODE = Path(emulator.__file__).parent
MAX_LINES, MAX_METHODS, MAX_PARAMETERS, MAX_FILE = 60, 15, 6, 500
WIRE = "what a dialect or vendor may say differently is a method each, most of them one line"
PUBLIC = "the public signature: every option is one keyword"
EXCEPTIONS = {
    "cli/exam.py command: parameters": PUBLIC,
    "cli/run.py _run: parameters": PUBLIC,
    "client.py NamespaceClient: methods": "one method for each thing that a test may do with its namespace",
    "completion.py complete: parameters": "the facts of one answer, all by keyword",
    "dialects/base.py Dialect: methods": WIRE,
    "dialects/wire_shape.py WireShape: methods": WIRE,
    "dialects/chat_completions.py ChatCompletions: methods": WIRE,
    "dialects/chat_completions.py chunk: parameters": "the parts of one event, the optional ones by keyword",
    "dialects/generate_content.py GenerateContent: methods": WIRE,
    "dialects/messages.py Messages: methods": WIRE,
    "dialects/responses.py Responses: methods": WIRE,
    "dialects/responses_shape.py ResponsesShape: methods": WIRE,
    "embedded.py __init__: parameters": PUBLIC,
    "generation/answers.py answer: parameters": "what an answer is made of, by keyword",
    "generation/instances/making.py _Maker: methods": "one method for each kind of JSON",
    "generation/instances/scalars.py make_number: parameters": "the bounds that a schema may give",
    "generation/prose.py prose: parameters": "what a text is made of, by keyword",
    "interception/proxy.py _Connection: methods": "a protocol of asyncio, whose callbacks are methods",
    "interception/tls.py TlsProtocol: methods": "a protocol of asyncio, whose callbacks are methods",
    "providers/base.py Provider: methods": WIRE,
    "server/playback.py _play: parameters": "what of the connection and the clock one answer needs",
    "server/playback.py play: parameters": "what of the connection and the clock one answer needs",
    "state/namespace.py Namespace: methods": "one method for each thing that a test may change in it",
}
"""What is over a limit, and why it reads better so."""


FILES = {path.relative_to(CODE).as_posix(): path.read_text() for path in sorted(CODE.rglob("*.py"))}


def definitions(node: ast.AST) -> Iterator[ast.AST]:
    """Every function and class within, none of which stands in an expression."""
    for each in ast.iter_child_nodes(node):
        if isinstance(each, ast.stmt | ast.excepthandler | ast.match_case):
            yield each
            yield from definitions(each)


@cache
def over_the_limits() -> frozenset[str]:
    return frozenset(
        f"{place} {what}"
        for place, text in FILES.items()
        for node in definitions(ast.parse(text))
        for what in broken_by(node)
    )


LONG = {
    "tokens.py": "one algorithm, with its tables",
}
"""The files that are longer than others may be, and why they read better in one piece."""


def test_files_can_be_read_in_one_sitting() -> None:
    lengths = {place: len(text.splitlines()) for place, text in FILES.items()}
    assert {place for place, length in lengths.items() if length > MAX_FILE} == LONG.keys()


def broken_by(node: ast.AST) -> Iterator[str]:
    """The limits that a function or a class is over."""
    match node:
        case ast.FunctionDef() | ast.AsyncFunctionDef():
            if (node.end_lineno or 0) - node.lineno >= MAX_LINES:
                yield f"{node.name}: lines"
            names = [each.arg for each in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)]
            if len(names) - (names[:1] in (["self"], ["cls"])) > MAX_PARAMETERS:
                yield f"{node.name}: parameters"
        case ast.ClassDef():
            methods = sum(isinstance(item, ast.FunctionDef | ast.AsyncFunctionDef) for item in node.body)
            if methods > MAX_METHODS:
                yield f"{node.name}: methods"


def test_what_is_over_a_limit_has_its_reason() -> None:
    assert over_the_limits() <= set(EXCEPTIONS)


def test_no_reason_outlives_what_it_is_for() -> None:
    assert set(EXCEPTIONS) <= over_the_limits()


def test_only_the_clock_takes_the_time() -> None:
    takers = {
        "time",
        "monotonic",
        "perf_counter",
        "monotonic_ns",
        "perf_counter_ns",
        "time_ns",
        "process_time",
        "thread_time",
    }
    found = [
        f"{place}:{node.lineno}"
        for place, text in FILES.items()
        if re.search(r"\btime\b", text)
        for node in ast.walk(ast.parse(text))
        if (
            isinstance(node, ast.ImportFrom) and node.module == "time" and takers & {alias.name for alias in node.names}
        )
        or (
            isinstance(node, ast.Attribute)
            and node.attr in takers
            and isinstance(node.value, ast.Name)
            and node.value.id == "time"
        )
    ]
    assert [place for place in found if not place.startswith("clock.py:")] == []


EXCUSE = re.compile(r"#\s*pragma:?\s*no[\s-]*(?:cover|branch)(.*)", re.IGNORECASE)
"""A line that no test runs; as loosely written as `coverage` reads it."""
REASON = re.compile(r" - \w\S*(?: \S+){2,}")
"""Three words at least."""


def excuses_without_reason(text: str) -> list[str]:
    """The lines that no test runs and that do not say why."""
    return [line for line in text.splitlines() if any(not REASON.match(end) for end in EXCUSE.findall(line))]


def test_what_no_test_runs_says_why() -> None:
    assert {place: lines for place, text in FILES.items() if (lines := excuses_without_reason(text))} == {}


@each_of(
    ("line", "found"),
    [
        ("os._exit(1)  # pragma: no cover - the process has ended", False),
        ("while True:  # pragma: no branch - left by return only", False),
        ("os._exit(1)  # pragma: no cover", True),
        ("os._exit(1)  # pragma: no cover - unreachable", True),
        ("os._exit(1)  # pragma: no cover: the process has ended", True),
        ("while True:  #pragma:no branch", True),
        ("print()  # covers no branch", False),
    ],
)
def test_an_excuse_has_a_reason_of_three_words(line: str, found: bool) -> None:
    assert excuses_without_reason(line) == [line] * found
