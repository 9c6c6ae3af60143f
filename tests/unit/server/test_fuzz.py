"""Twenty thousand damaged inputs each: a value or the peer's error, nothing else."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from app.protocol.answer import AnswerPlan, LocalTransport, build_answer
from app.protocol.errors import ProtocolError
from app.protocol.sdp import parse_sdp
from app.protocol.signal_server import decode_join_request, decode_request
from app.protocol.token import VideoGrant, issue_token, verify_token
from app.server.room.data_router import RELIABLE, DataRouter, DataSender
from tests.support.vectors import read_vector, session_descriptions

SEED = 20_261_120
COUNT = 20_000
TRANSPORT = LocalTransport("u", "p" * 22, "AA", ())


def damaged(data: bytes, rng: random.Random) -> bytes:
    """Flip, cut, repeat or insert a few bytes."""
    changed = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(changed) + 1)
        match rng.randrange(4):
            case 0 if at < len(changed):
                changed[at] = rng.randrange(256)
            case 1:
                del changed[at : at + rng.randint(1, 20)]
            case 2:
                changed[at:at] = changed[at : at + rng.randint(1, 40)]
            case _:
                changed[at:at] = rng.randbytes(rng.randint(1, 4))
    return bytes(changed)


def run(samples: list[bytes], handle: Callable[[bytes], object]) -> tuple[int, int]:
    """Return how many damaged inputs were still read, and how many were refused."""
    rng = random.Random(SEED)
    read = refused = 0
    for _ in range(COUNT):
        data = damaged(rng.choice(samples), rng)
        try:
            handle(data)
            read += 1
        except ProtocolError:
            refused += 1
        except Exception as error:
            raise AssertionError(f"seed {SEED}: {data!r}") from error
    return read, refused


def client_frames() -> list[bytes]:
    records = read_vector("chromium_v1_publish_subscribe.jsonl")
    return [r.raw for r in records if r.message.endswith("SignalRequest") and len(r.raw) < 2_000]


def test_damaged_frames() -> None:
    read, refused = run(client_frames(), decode_request)
    assert read
    assert refused


def test_damaged_offers_are_answered_or_refused() -> None:
    texts = sorted({text for _, text in session_descriptions()}, key=len)[:8]

    def answer(data: bytes) -> None:
        offer = parse_sdp(data.decode("utf-8", "replace"))
        build_answer(offer, AnswerPlan(TRANSPORT, "1", 1)).to_text()

    read, refused = run([text.encode() for text in texts], answer)
    assert read
    assert refused


def test_damaged_data_packets() -> None:
    records = read_vector("data_python_to_v1_peer.jsonl")
    samples = [r.raw for r in records if r.kind == "data" and 0 < len(r.raw) < 2_000]
    sender = DataSender("PA_a", "alice", is_agent=True)
    people = {"alice": "PA_a", "bob": "PA_b"}
    router = DataRouter()

    def route(data: bytes) -> None:
        sender.last_sequence = 0
        router.route(sender, RELIABLE, data, people)

    read, refused = run(samples, route)
    assert read
    assert refused


def test_damaged_join_requests() -> None:
    records = read_vector("python_v1_publish_subscribe.bob.jsonl")
    parameters = [
        r.json["query"]["join_request"].encode()
        for r in records
        if r.kind == "http" and "join_request" in (r.json or {}).get("query", {})
    ]
    _, refused = run(parameters, lambda data: decode_join_request(data.decode("latin-1")))
    assert refused


def test_no_damaged_token_is_accepted() -> None:
    keys = {"k": "s" * 32}
    grant = VideoGrant(room_join=True, room="r")
    token = issue_token(api_key="k", api_secret="s" * 32, identity="a", now_s=0, grant=grant)
    good = verify_token(token, keys, now_s=0)

    def check(data: bytes) -> None:
        # The last character of a signature carries bits that nobody reads.
        assert verify_token(data.decode("latin-1"), keys, now_s=0) == good

    _, refused = run([token.encode()], check)
    assert refused > COUNT * 0.9


@pytest.mark.parametrize("size", [0, 1, 100, 70_000])
def test_random_bytes_of_any_size(size: int) -> None:
    data = random.Random(SEED).randbytes(size)
    for handle in (decode_request, lambda raw: parse_sdp(raw.decode("latin-1"))):
        try:
            handle(data)
        except ProtocolError:
            continue
