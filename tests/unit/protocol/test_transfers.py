"""What Lanai apps say about files comes back as it was said; anything else is a protocol error."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.protocol.errors import ProtocolError
from app.protocol.transfers import (
    MAX_FILES,
    Answer,
    FileOffer,
    OfferAnswer,
    PartialFile,
    Progress,
    Refusal,
    Resume,
    Stop,
    StreamLabel,
    attributes_of,
    encode_answer,
    encode_offer,
    encode_partial,
    encode_progress,
    encode_resume,
    encode_stop,
    label_of,
    parse_answer,
    parse_offer,
    parse_partial,
    parse_progress,
    parse_resume,
    parse_stop,
)

FILE_ID = "0123456789abcdef"
HASH = "a" * 64
PARSERS = [
    parse_offer,
    parse_answer,
    parse_resume,
    parse_stop,
    lambda text: parse_progress(text.encode(errors="replace")),
    lambda text: parse_partial(text.encode(errors="replace")),
]


def test_everything_comes_back_as_it_was_said() -> None:
    offer = FileOffer(FILE_ID, "photos", 15, (("a/b.txt", 10), ("ü 🚆", 5)))
    answer = OfferAnswer(Answer.ACCEPT, 7, HASH)
    refused = OfferAnswer(Answer.DECLINE, refusal=Refusal.DISK_FULL)
    partial = PartialFile(offer, "ada-1", "jam", 7, HASH, 1_700_000_000_000)

    assert parse_offer(encode_offer(offer)) == offer
    assert parse_answer(encode_answer(answer)) == answer
    assert parse_answer(encode_answer(refused)) == refused
    assert parse_resume(encode_resume(Resume(FILE_ID, 7, HASH))) == Resume(FILE_ID, 7, HASH)
    assert parse_stop(encode_stop(Stop(FILE_ID, Refusal.DAMAGED))) == Stop(FILE_ID, Refusal.DAMAGED)
    assert parse_progress(encode_progress(Progress(FILE_ID, 7, done=True))).done
    assert parse_partial(encode_partial(partial)) == partial
    assert label_of(attributes_of(StreamLabel(FILE_ID, 7))) == StreamLabel(FILE_ID, 7)


@pytest.mark.parametrize(
    "changes",
    [
        {"id": "../../x"},
        {"id": "a/b12345678"},
        {"size": -1},
        {"size": True},
        {"size": 1 << 60},
        {"name": 7},
        {"name": "x" * 2_000},
        {"files": [["a", 1], ["b", 1]]},
        {"files": [["", 3]]},
        {"files": [["a", 3, 4]]},
        {"files": [["a", 0]] * (MAX_FILES + 1)},
        {"files": {"a": 3}},
    ],
)
def test_an_offer_that_makes_no_sense_is_refused(changes: dict[str, object]) -> None:
    offer = json.loads(encode_offer(FileOffer(FILE_ID, "a", 3)))

    with pytest.raises(ProtocolError):
        parse_offer(json.dumps({**offer, **changes}))


@pytest.mark.parametrize("parse", PARSERS)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(
                    ["id", "name", "size", "files", "offset", "sha256", "offer", "got"]
                ),
                inner,
                max_size=6,
            )
        ),
        max_leaves=12,
    )
    | st.text(max_size=60)
)
@settings(max_examples=60, deadline=None)
def test_any_json_is_a_value_or_a_protocol_error(parse: object, raw: object) -> None:
    text = raw if isinstance(raw, str) else json.dumps(raw)
    try:
        parse(text)  # type: ignore[operator]
    except ProtocolError:
        return


@given(st.dictionaries(st.sampled_from(["lanai.file_id", "lanai.offset"]), st.text(max_size=70)))
@settings(deadline=None)
def test_any_attributes_are_a_label(attributes: dict[str, str]) -> None:
    label = label_of(attributes)

    assert label == StreamLabel() or label.file_id.replace("-", "").isalnum()
