from __future__ import annotations

import base64
import contextlib
import json
import random
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.engine.chat import MAX_TEXT_CHARS
from app.engine.chat_book import Entry, Key
from app.engine.chat_history import (
    MAX_HANDED_CHARS,
    MAX_HANDED_LINES,
    MAX_PLAIN_BYTES,
    HistoryBusyError,
    HistoryKeeper,
    HistoryReader,
    pack,
    request_from,
    unpack,
    vouched,
)
from app.engine.events import AttachmentState, ChatAttachment
from app.protocol.errors import ProtocolError


def entry(number: int, text: str = "hi", to: tuple[str, ...] = ()) -> Entry:
    return Entry(f"m{number}", "ada", "Ada", text, number, is_mine=False, to=to)


def fetch(
    keeper: HistoryKeeper, entries: list[Entry], deleted: list[Key], now_s: float = 10.0
) -> tuple[list[Entry], list[Key], int]:
    reader, slices = HistoryReader(), 0
    while (request := reader.next_request) is not None:
        answer = keeper.handle_request("late", request, entries, deleted, now_s)
        assert len(answer.encode()) < 15_000  # what an RPC answer of version 1 may hold
        reader.handle_answer(answer)
        slices += 1
    lines, gone = reader.result()
    return lines, gone, slices


def test_the_history_arrives_in_slices_that_fit_a_call() -> None:
    rng = random.Random(3)
    texts = ["".join(rng.choices("abcdefghij é你", k=500)) for _ in range(300)]

    lines, gone, slices = fetch(
        HistoryKeeper(), [entry(n, text) for n, text in enumerate(texts)], [("bo", "x")]
    )

    assert [line.text for line in lines] == texts
    assert [(line.id, line.at_ms) for line in lines[:2]] == [("m0", 0), ("m1", 1)]
    assert gone == [("bo", "x")]
    assert slices > 1


def test_private_and_deleted_lines_are_never_handed_on() -> None:
    gone = entry(2, "")
    gone.deleted = True
    growing = entry(3, "half")
    growing.growing = True

    packed = pack([entry(0), entry(1, "secret", to=("bo",)), gone, growing], [gone.key])
    lines, deleted = unpack(packed)

    assert [line.id for line in lines] == ["m0"]
    assert deleted == [gone.key]
    assert b"secret" not in zlib.decompress(base64.b64decode(packed))


def test_what_belongs_to_a_line_comes_along() -> None:
    line = entry(1)
    line.edited, line.reply_to, line.told_by = True, "m0", "Kai"
    line.broken = True
    line.reactions = {"heart": {"kai": "Kai", "bo": "Bo"}}
    line.attachments["p"] = ChatAttachment("p", "plan.png", 7, AttachmentState.HERE)

    (read,), _ = unpack(pack([line], []))

    assert (read.edited, read.reply_to, read.is_old) == (True, "m0", True)
    assert (read.told_by, read.broken) == ("Kai", True)
    assert read.reactions == {"heart": {"kai": "Kai", "bo": "Bo"}}
    assert read.attachments == {"p": ChatAttachment("p", "plan.png", 7, AttachmentState.MISSED)}


def test_the_newest_lines_are_handed_on_and_only_so_many() -> None:
    many, _ = unpack(pack([entry(n) for n in range(MAX_HANDED_LINES + 5)], []))
    long, _ = unpack(pack([entry(n, "x" * MAX_TEXT_CHARS) for n in range(50)], []))

    assert (len(many), many[0].id) == (MAX_HANDED_LINES, "m5")
    assert sum(len(line.text) for line in long) <= MAX_HANDED_CHARS
    assert long[-1].id == "m49"


def test_somebody_who_asks_without_end_is_told_to_wait() -> None:
    keeper = HistoryKeeper()
    keeper.handle_request("late", request_from(0), [entry(1)], [], 1.0)

    with pytest.raises(HistoryBusyError):
        keeper.handle_request("late", request_from(0), [entry(1)], [], 1.5)
    assert keeper.handle_request("other", request_from(0), [entry(1)], [], 1.5)
    assert keeper.handle_request("late", request_from(0), [entry(1)], [], 2.5)


@pytest.mark.parametrize(
    "payload", ["", "[]", '{"at":-1}', '{"at":true}', '{"at":5}', '{"at":9000000}', "x" * 300]
)
def test_a_request_that_makes_no_sense_is_refused(payload: str) -> None:
    with pytest.raises(ProtocolError):
        HistoryKeeper().handle_request("late", payload, [], [], 1.0)


@pytest.mark.parametrize(
    "answer",
    [
        "",
        "[]",
        '{"size":3,"text":""}',
        '{"size":3,"text":"abcd"}',
        '{"size":99999999,"text":"a"}',
        '{"size":"3","text":"abc"}',
    ],
)
def test_an_answer_that_makes_no_sense_is_refused(answer: str) -> None:
    with pytest.raises(ProtocolError):
        HistoryReader().handle_answer(answer)


def packed_json(raw: object) -> str:
    return base64.b64encode(zlib.compress(json.dumps(raw).encode())).decode()


@pytest.mark.parametrize(
    "reactions",
    [
        7,
        ["heart"],
        {"heart": 7},
        {"heart": [["kai"], [1, "Kai"], "xy", ["kai", None]]},
        {"<b>": [["kai", "Kai"]]},
        {"heart": []},
    ],
)
def test_a_reaction_that_is_none_is_left_out(reactions: object) -> None:
    line = {"id": "m1", "who": "ada", "text": "hi", "reactions": reactions}

    (read,), _ = unpack(packed_json({"lines": [line], "deleted": []}))

    assert read.reactions == {}


def test_what_others_thought_is_believed_of_a_host_only() -> None:
    def told(*, is_host: bool) -> dict[str, dict[str, str]]:
        line = entry(1)
        line.reactions = {"heart": {"kai": "Kai"}}
        (read,), _ = vouched([line], [], keeper="ada", name="Ada", is_host=is_host)
        return read.reactions

    assert told(is_host=True) == {"heart": {"kai": "Kai"}}
    assert told(is_host=False) == {}


def test_reactions_count_towards_what_is_handed_on() -> None:
    many = [entry(n) for n in range(200)]
    for line in many:
        line.reactions = {"star": {f"p{n}": "x" * 256 for n in range(200)}}

    lines, _ = unpack(pack(many, []))

    assert 0 < len(lines) < 10


def test_a_bomb_is_refused() -> None:
    bomb = base64.b64encode(zlib.compress(b" " * (MAX_PLAIN_BYTES + 1))).decode()

    with pytest.raises(ProtocolError):
        unpack(bomb)


def test_records_that_make_no_sense_are_left_out() -> None:
    good: dict[str, object] = {
        "id": "1",
        "who": "ada",
        "name": "Ada",
        "text": "hi",
        "at": "never",
        "files": [[1], 2],
    }
    bad: list[object] = [None, [], {**good, "id": ""}, {**good, "text": 5}, {**good, "who": None}]

    lines, deleted = unpack(packed_json({"lines": [*bad, good], "deleted": [1, ["a"], ["a", "b"]]}))

    assert [(line.id, line.at_ms) for line in lines] == [("1", 0)]
    assert deleted == [("a", "b")]


@given(
    st.one_of(st.text(max_size=80), st.recursive(st.none() | st.text(), st.lists).map(packed_json))
)
def test_any_pack_is_a_history_or_a_protocol_error(packed: str) -> None:
    with contextlib.suppress(ProtocolError):
        unpack(packed)
    with contextlib.suppress(ProtocolError):
        HistoryReader().handle_answer(packed)
