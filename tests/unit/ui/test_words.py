"""Every reason and every ending has words a person understands."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.engine.events import EndCause
from app.runtime.errors import Reason
from app.ui.home.words import (
    ENDINGS,
    STEP_TEXT,
    Facts,
    NextStep,
    clock_duration,
    device_words,
    list_names,
    spoken_duration,
    typeset,
)

JARGON = ("http", "websocket", "token", "jwt", "ice", "dtls", "sdp", "error", "none", "exception")


@pytest.mark.parametrize("why", [*EndCause, *Reason])
def test_every_reason_and_every_ending_has_words(why: EndCause | Reason) -> None:
    ending = ENDINGS[why]

    assert ending.title
    assert not ending.title.endswith(".")
    assert ending.text.rstrip("}").endswith((".", "files", "hosted", "still_hosted"))
    assert ending.primary in STEP_TEXT


@pytest.mark.parametrize("why", [*EndCause, *Reason])
def test_no_words_speak_of_protocols(why: EndCause | Reason) -> None:
    ending = ENDINGS[why]
    words = f"{ending.title} {ending.text}".lower().replace(".", " ").split()

    assert not [word for word in words if word in JARGON]


@pytest.mark.parametrize("why", [*EndCause, *Reason])
@pytest.mark.parametrize(
    "facts",
    [
        Facts(),
        Facts("Garden club", "Mia", "192.168.1.24", 2530, 3, Path("/home/noa/Downloads")),
        Facts("{odd} %s room", "{Mia}", "[::1]:7880", 5, 1, Path("/x/y")),
    ],
)
def test_every_text_can_be_filled_from_any_facts(why: EndCause | Reason, facts: Facts) -> None:
    text = facts.fill(ENDINGS[why].text)

    assert text
    assert text[0].isupper() or not text[0].isalpha()
    if facts.room != "{odd} %s room":
        assert "{" not in text
    assert '"' not in text
    assert "''" not in text


def test_each_step_has_a_button_text() -> None:
    assert set(STEP_TEXT) == set(NextStep)


def test_the_end_of_a_meeting_tells_host_time_and_files() -> None:
    facts = Facts("Garden club", "Mia", "", 2530, 3, Path("/home/noa/Downloads"))

    assert facts.fill(ENDINGS[EndCause.ENDED].text) == (
        "Mia ended \u201cGarden club\u201d after 42 minutes. 3 files were saved to Downloads."
    )


def test_without_files_nothing_is_said_about_files() -> None:
    assert "file" not in Facts("Garden club", "Mia", "", 60).fill(ENDINGS[EndCause.ENDED].text)


def test_the_one_who_ended_it_is_addressed_as_you() -> None:
    text = Facts("Garden club", "Noa", host_is_me=True).fill(ENDINGS[EndCause.ENDED].text)

    assert text.startswith("You ended")


def test_an_unknown_room_is_not_put_in_quotation_marks() -> None:
    text = Facts().fill(ENDINGS[EndCause.REMOVED].text)

    assert text.startswith("A host removed you from the meeting.")


def test_names_with_quotation_marks_stay_as_they_are() -> None:
    assert '"' in Facts('Mia "M" club').fill("{room}")


def test_every_device_reason_gives_a_sentence() -> None:
    for kind in ("microphone", "camera", "speaker"):
        for reason in (
            Reason.DEVICE_BUSY,
            Reason.DEVICE_GONE,
            Reason.DEVICE_DENIED,
            Reason.NO_AUDIO_BACKEND,
        ):
            assert device_words(kind, reason).endswith(".")


@pytest.mark.parametrize(
    ("duration_s", "spoken", "clock"),
    [
        (0, "less than a minute", "0:00"),
        (61, "1 minute", "1:01"),
        (1458, "24 minutes", "24:18"),
        (3600, "1 h", "1:00:00"),
        (3723, "1 h 2 min", "1:02:03"),
    ],
)
def test_durations_are_spoken_and_shown_as_a_clock(
    duration_s: float, spoken: str, clock: str
) -> None:
    assert spoken_duration(duration_s) == spoken
    assert clock_duration(duration_s) == clock


@pytest.mark.parametrize(
    ("names", "said"),
    [
        ((), "Nobody is here yet"),
        (("Mia",), "Mia is here"),
        (("Mia", "Kai"), "Mia and Kai are here"),
        (("Mia", "Kai", "Lena"), "Mia, Kai and Lena are here"),
        (("Mia", "Kai", "Lena", "Jun"), "Mia, Kai and 2 others are here"),
    ],
)
def test_who_is_there_is_said_in_a_sentence(names: tuple[str, ...], said: str) -> None:
    assert list_names(names) == said


def test_quotation_marks_and_dashes_are_typographic() -> None:
    assert typeset('"Garden club" isn\'t - here') == (
        "\u201cGarden club\u201d isn\u2019t \u2013 here"
    )


def test_a_host_owns_a_computer_with_a_real_apostrophe() -> None:
    text = Facts("Tea", host="Mia").fill(ENDINGS[EndCause.HOST_STOPPED].text)
    assert "Mia\u2019s computer" in text
