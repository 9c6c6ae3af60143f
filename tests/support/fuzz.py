"""Seeded bytes for parsers: random ones, and valid ones with a few bytes changed or cut."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from app.protocol.errors import ProtocolError

INPUTS = 20_000


def inputs(examples: Sequence[bytes], seed: int, count: int = INPUTS) -> Iterator[bytes]:
    chance = random.Random(seed)
    for _ in range(count):
        if not examples or chance.random() < 0.2:
            yield chance.randbytes(chance.randrange(120))
            continue
        data = bytearray(chance.choice(examples))
        for _ in range(chance.randrange(1, 5)):
            if data:
                data[chance.randrange(len(data))] = chance.randrange(256)
        if chance.random() < 0.3:
            del data[chance.randrange(len(data) + 1) :]
        yield bytes(data)


def assert_only_protocol_errors(
    parse: Callable[[bytes], Any], examples: Sequence[bytes], *, seed: int = 1
) -> None:
    """Every input gives a value or ProtocolError; the failing one is named with its seed."""
    for number, data in enumerate(inputs(examples, seed)):
        try:
            parse(data)
        except ProtocolError:
            pass
        except Exception as error:
            raise AssertionError(f"seed {seed}, input {number}: {data.hex()}") from error
