from __future__ import annotations

import itertools

import pytest

from app.engine.agent_state import (
    LEFT,
    NEVER_JOINED,
    NEVER_READY,
    SPOKEN_STATES,
    AgentLife,
    AgentState,
    spoken_state,
)

S = AgentState
GETTERS = {
    "is_connected": {S.LISTENING, S.THINKING, S.SPEAKING},
    "can_listen": {S.PRE_CONNECT_BUFFERING, S.LISTENING, S.THINKING, S.SPEAKING},
    "is_pending": {S.CONNECTING, S.INITIALIZING, S.IDLE},
    "is_finished": {S.DISCONNECTED, S.FAILED},
}


@pytest.mark.parametrize("state", list(AgentState))
@pytest.mark.parametrize("getter", list(GETTERS))
def test_each_getter_is_true_in_exactly_its_states(state: AgentState, getter: str) -> None:
    assert getattr(state, getter) == (state in GETTERS[getter])


def test_the_agent_has_a_name_and_tracks_unless_connecting_disconnected_or_failed() -> None:
    without = {state for state in AgentState if not state.has_agent}
    assert without == {S.CONNECTING, S.DISCONNECTED, S.FAILED}


@pytest.mark.parametrize(
    ("failed", "said", "microphone", "is_up"),
    list(
        itertools.product(
            (False, True), (None, *SPOKEN_STATES.values()), (False, True), (False, True)
        )
    ),
)
def test_the_first_match_wins(
    failed: bool, said: AgentState | None, microphone: bool, is_up: bool
) -> None:
    life = AgentLife(is_room_up=is_up, is_here=said is not None, said=said)
    life.handle_microphone(microphone)
    if failed:
        life._departure_failure = LEFT

    if failed:
        wanted = S.FAILED
    elif said is not None:
        wanted = said
    elif not is_up:
        wanted = S.DISCONNECTED
    else:
        wanted = S.PRE_CONNECT_BUFFERING if microphone else S.CONNECTING
    assert life.state is wanted


@pytest.mark.parametrize("words", ["", "listening ", "pre-connect-buffering", "failed", "?"])
def test_what_an_agent_may_not_say_of_itself_is_nothing(words: str) -> None:
    assert spoken_state({"lk.agent.state": words}) is None
    assert spoken_state({}) is None


def test_an_agent_that_never_comes_is_a_failure_after_twenty_seconds() -> None:
    life = AgentLife()
    life.handle_room(True, 100.0)
    assert life.deadline_s == 120.0

    life.handle_deadline(119.9)
    assert life.state is S.CONNECTING
    life.handle_deadline(120.0)

    assert (life.state, life.failures) == (S.FAILED, [NEVER_JOINED])


@pytest.mark.parametrize("said", [None, S.INITIALIZING])
def test_an_agent_that_never_gets_ready_is_a_failure(said: AgentState | None) -> None:
    life = AgentLife()
    life.handle_room(True, 0.0)
    life.handle_agent(said)

    life.handle_deadline(20.0)

    assert life.failures == [NEVER_READY]


@pytest.mark.parametrize("said", [S.IDLE, S.LISTENING, S.THINKING, S.SPEAKING])
def test_an_agent_that_is_ready_in_time_is_none(said: AgentState) -> None:
    life = AgentLife()
    life.handle_room(True, 0.0)
    life.handle_agent(said)

    life.handle_deadline(20.0)

    assert (life.state, life.failures) == (said, [])


def test_an_agent_that_comes_late_makes_good_what_it_missed() -> None:
    life = AgentLife()
    life.handle_room(True, 0.0)
    life.handle_deadline(20.0)
    assert life.state is S.FAILED

    life.handle_agent(S.LISTENING)

    assert life.state is S.LISTENING


def test_an_agent_that_leaves_is_a_failure_until_the_room_is_left() -> None:
    life = AgentLife()
    life.handle_room(True, 0.0)
    life.handle_agent(S.SPEAKING)
    life.handle_agent_left()
    assert (life.state, life.failures) == (S.FAILED, [LEFT])

    life.handle_agent(S.LISTENING)
    assert life.failures == [LEFT]
    life.handle_room(False, 5.0)

    assert (life.state, life.failures, life.deadline_s) == (S.DISCONNECTED, [], None)


def test_a_room_that_is_left_takes_the_agent_along_without_a_failure() -> None:
    life = AgentLife()
    life.handle_room(True, 0.0)
    life.handle_agent(S.SPEAKING)

    life.handle_room(False, 1.0)
    life.handle_agent_left()

    assert life.state is S.DISCONNECTED


def test_the_clock_starts_anew_with_each_session() -> None:
    life = AgentLife(timeout_s=5.0)
    life.handle_room(True, 0.0)
    life.handle_room(True, 3.0)
    assert life.deadline_s == 5.0
    life.handle_room(False, 4.0)
    life.handle_room(True, 10.0)
    assert life.deadline_s == 15.0
