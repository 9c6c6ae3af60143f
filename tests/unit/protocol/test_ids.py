"""Identifiers carry the prefixes that official SDKs insist on."""

from __future__ import annotations

import re

from app.protocol import compat, ids


def test_a_track_sid_tells_kind_and_source() -> None:
    assert ids.new_track_id(1, 1, bytes(16)).startswith("TR_VC")
    assert ids.new_track_id(0, 2, bytes(16)).startswith("TR_AM")
    assert ids.new_track_id(1, 3, bytes(16)).startswith("TR_VS")
    assert ids.new_track_id(0, 4, bytes(16)).startswith("TR_As")
    assert ids.new_track_id(0, 0, bytes(16)).startswith("TR_A")


def test_ids_have_twelve_characters_and_follow_the_random_bytes() -> None:
    first = ids.new_id("PA_", bytes(range(16)))
    second = ids.new_id("PA_", bytes(range(1, 17)))
    assert re.fullmatch(r"PA_[A-Za-z0-9]{12}", first)
    assert first != second
    assert first == ids.new_id("PA_", bytes(range(16)))


def test_a_slug_is_short_lower_case_and_never_empty() -> None:
    assert ids.slug("Ada  L.") == "ada-l"
    assert ids.slug("!!!") == "guest"
    assert len(ids.slug("x" * 300)) <= 40


def test_the_announced_server_version_is_strict_semver() -> None:
    assert re.fullmatch(r"\d+\.\d+\.\d+", compat.SERVER_COMPAT_VERSION)
