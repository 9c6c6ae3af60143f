"""SCTP under many more seeded inputs than CI has time for."""

from __future__ import annotations

import pytest

from tests.support.sctp_ends import attack

pytestmark = pytest.mark.soak


@pytest.mark.parametrize("seed", range(2, 42))
def test_no_bytes_of_a_peer_raise_anything_but_a_protocol_error(seed: int) -> None:
    attack(seed, count=50_000)
