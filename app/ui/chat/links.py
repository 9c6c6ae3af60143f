"""Web addresses inside a text, and when one has to be asked about before it is opened."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import urlsplit

_LINK = re.compile(
    r"https?://[^\s<>\"']+"
    r"|(?<![\w@./:-])(?:www\.[a-z0-9-]+(?:\.[a-z0-9-]+)+(?:/[^\s<>\"']*)?"
    r"|(?:[a-z0-9](?:[a-z0-9-]{0,62}\.))+[a-z]{2,24}/[^\s<>\"']*)",
    re.IGNORECASE,
)
_CLOSERS = {")": "(", "]": "[", "}": "{"}
_MAX_URL_CHARS = 2_000
# Marks that turn the direction of text around: what is read is not what is opened.
_TURNS = re.compile("[\u061c\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]")


@dataclass(frozen=True, slots=True)
class Link:
    """A web address inside a text, as a slice of it; `url` is what it opens."""

    start: int
    end: int
    url: str


def find_links(text: str) -> list[Link]:
    """Find http and https addresses; the punctuation that ends a sentence is not part of one.

    "www.x.example" and "x.example/path" count as addresses too, and open with https.
    """
    links = []
    for match in _LINK.finditer(text):
        shown = match.group()
        while shown:
            last = shown[-1]
            closes_nothing = last in _CLOSERS and shown.count(_CLOSERS[last]) < shown.count(last)
            if last not in ".,;:!?…*_" and not closes_nothing:
                break
            shown = shown[:-1]
        url = shown if shown.lower().startswith(("http:", "https:")) else f"https://{shown}"
        if len(url) <= _MAX_URL_CHARS and _host_of(url):
            links.append(Link(match.start(), match.start() + len(shown), url))
    return links


def needs_asking(shown: str, url: str) -> bool:
    """Whether what stands in the text does not say plainly where the address leads."""
    parts = urlsplit(url)
    return (
        shown != url
        or "@" in parts.netloc
        or not url.isascii()
        or _TURNS.search(url) is not None
        or "xn--" in parts.netloc.lower()
    )


def _host_of(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""
