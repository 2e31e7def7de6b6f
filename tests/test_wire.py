"""An answer as data: the same bytes whether it is taken whole, frame by frame or step by step."""

from hypothesis import given, settings
from hypothesis import strategies as st

from emulator.wire import Data, End, FrameRun, Head, Part, PlannedBody, Step, single

PIECES = st.lists(st.tuples(st.binary(max_size=8), st.integers(0, 3)), max_size=6)
PARTS: list[Part] = ["role", "reasoning", "content", "finish", "usage", "done"]


def run(part: Part, before: bytes, pieces: list[tuple[bytes, int]], after: bytes) -> FrameRun:
    return FrameRun(part, before, [piece for piece, _ in pieces], after, [tokens for _, tokens in pieces])


RUNS = st.builds(run, st.sampled_from(PARTS), st.binary(max_size=8), PIECES, st.binary(max_size=8))
TRACKS = st.builds(
    PlannedBody, st.just(200), st.just(()), st.lists(RUNS, max_size=5).map(tuple), st.booleans(), st.just(())
)


def timed(planned: PlannedBody) -> PlannedBody:
    """The same with a moment for each frame: its number."""
    return PlannedBody(
        planned.status, planned.headers, planned.runs, planned.streamed, [float(k) for k in range(count(planned))]
    )


def length(body: bytes) -> tuple[bytes, bytes]:
    return b"content-length", str(len(body)).encode()


def count(planned: PlannedBody) -> int:
    return sum(len(run.pieces) for run in planned.runs)


@settings(deadline=None)
@given(TRACKS)
def test_the_body_is_its_frames_and_the_data_of_its_steps(planned: PlannedBody) -> None:
    body = planned.body()
    assert body == b"".join(planned.frames())
    assert body == b"".join(step.data for step in planned.steps() if isinstance(step, Data))


@settings(deadline=None)
@given(TRACKS)
def test_every_frame_has_its_tokens(planned: PlannedBody) -> None:
    datas = [step for step in planned.steps() if isinstance(step, Data)]
    assert [step.data for step in datas] == list(planned.frames())
    assert [step.tokens for step in datas] == list(planned.tokens())
    assert [step.part for step in datas] == [run.part for run in planned.runs for _ in run.pieces]


@settings(deadline=None)
@given(TRACKS)
def test_steps_begin_with_a_head_and_finish_with_an_end_when_the_last_frame_is_due(planned: PlannedBody) -> None:
    head, *datas, end = timed(planned).steps()
    last = float(max(0, count(planned) - 1))
    assert head == (Head(200, (), 0.0) if planned.streamed else Head(200, (length(planned.body()),), last))
    assert [data.at for data in datas] == [float(k) for k in range(count(planned))]
    assert end == End(last)


def test_a_stream_spelled_out() -> None:
    runs = (single("role", b"R"), FrameRun("content", b"<", (b"a", b"bc"), b">", (1, 2)), single("done", b"D"))
    planned = PlannedBody(201, ((b"a", b"b"),), runs, True, (0.5, 0.5, 0.7, 0.7))
    assert planned.body() == b"R<a><bc>D"
    assert list(planned.frames()) == [b"R", b"<a>", b"<bc>", b"D"]
    steps: list[Step] = [
        Head(201, ((b"a", b"b"),), 0.0),
        Data(b"R", "role", 0, 0.5),
        Data(b"<a>", "content", 1, 0.5),
        Data(b"<bc>", "content", 2, 0.7),
        Data(b"D", "done", 0, 0.7),
        End(0.7),
    ]
    assert planned.steps() == steps


def test_a_whole_body_brings_its_head_along_with_its_length() -> None:
    planned = PlannedBody(200, ((b"a", b"b"),), (single("body", b"{}", 3),), False, (1.5,))
    head = Head(200, ((b"a", b"b"), (b"content-length", b"2")), 1.5)
    assert planned.steps() == [head, Data(b"{}", "body", 3, 1.5), End(1.5)]


def test_a_track_of_nothing() -> None:
    assert (PlannedBody(204, (), (), True).body(), PlannedBody(204, (), (), True).steps()) == (
        b"",
        [Head(204, ()), End()],
    )


def test_the_frames_of_a_run_can_be_counted() -> None:
    run = FrameRun("content", b'{"n":', (b"a", b"b"), b'"}', (1, 1), first=9, middle=b',"t":"')
    frames = [b'{"n":9,"t":"a"}', b'{"n":10,"t":"b"}']
    assert list(run.frames()) == frames
    assert run.joined() == b"".join(frames)


def test_a_step_has_all_the_meanings_of_its_run() -> None:
    run = FrameRun("finish", b"", (b"x",), b"", (0,), also=frozenset(["usage"]))
    (_, data, _) = PlannedBody(200, (), (run,), streamed=True).steps()
    assert isinstance(data, Data)
    assert [data.means(part) for part in ("finish", "usage", "done")] == [True, True, False]
