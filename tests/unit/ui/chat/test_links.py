from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.ui.chat.links import Link, find_links, needs_asking


def test_links_end_before_the_sentence_does() -> None:
    assert find_links("See https://seeds.example/spring, please.") == [
        Link(4, 32, "https://seeds.example/spring")
    ]
    assert find_links("(http://a.example/b_(c))")[0].url == "http://a.example/b_(c)"
    assert find_links("HTTPS://A.example?")[0].url == "HTTPS://A.example"
    assert find_links("**https://a.example/x**")[0].url == "https://a.example/x"


def test_only_web_addresses_are_links() -> None:
    assert find_links("javascript:alert(1) file:///etc/passwd lanai://x https:// mailto:a@b") == []


@given(st.text(max_size=200))
def test_every_link_is_a_slice_of_its_text(text: str) -> None:
    for link in find_links(text + " https://x.example/" + text):
        shown = (text + " https://x.example/" + text)[link.start : link.end]
        assert link.url in (shown, f"https://{shown}")
        assert link.url.lower().startswith(("http://", "https://"))


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("seeds.example/spring", "https://seeds.example/spring"),
        ("see www.lanai.example.", "https://www.lanai.example"),
    ],
)
def test_an_address_without_a_scheme_opens_with_https(text: str, url: str) -> None:
    (link,) = find_links(text)

    assert link.url == url
    assert needs_asking(text[link.start : link.end], link.url)


@pytest.mark.parametrize("text", ["and/or", "main.py", "1.5/2", "me@host.example/x", "../a.b/c"])
def test_what_only_looks_like_an_address_is_none(text: str) -> None:
    assert find_links(text) == []


@pytest.mark.parametrize(
    "url",
    [
        "https://bank.example@evil.example/",
        "https://b\u0430nk.example/",
        "https://xn--bnk-5cd.example/",
        "https://a.example/\u202egnp.exe",
    ],
)
def test_an_address_that_hides_where_it_leads_is_asked_about(url: str) -> None:
    assert needs_asking(url, url)


def test_a_plain_address_is_not_asked_about() -> None:
    assert not needs_asking("https://a.example/b?c=1", "https://a.example/b?c=1")
