from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st

from app.rtc import stun
from app.rtc.ice_checklist import (
    CONSENT_TIMEOUT_S,
    Address,
    ConsentLost,
    Credentials,
    IceChecklist,
    Output,
    Selected,
    Transmit,
    candidate_priority,
)

OURS = Credentials("ours", "our-password-of-22-char")
THEIRS = Credentials("theirs", "their-password-22-chars")


def numbers(start: int) -> Callable[[], bytes]:
    counter = itertools.count(start)
    return lambda: next(counter).to_bytes(12, "big")


def checklist(
    mine: Credentials = OURS, *, controlling: bool = True, tie_breaker: int = 5
) -> IceChecklist:
    return IceChecklist(
        mine,
        is_controlling=controlling,
        tie_breaker=tie_breaker,
        transaction_id=numbers(1 if controlling else 1 << 40),
    )


class Wire:
    """Two agents and everything between them, in virtual time."""

    def __init__(self, left: IceChecklist, right: IceChecklist) -> None:
        self.agents = {"left": left, "right": right}
        self.addresses: dict[str, list[Address]] = {"left": [], "right": []}
        self.selected: dict[str, Selected] = {}
        self.lost: list[str] = []
        self.blocked: set[Address] = set()
        self.now_s = 0.0

    def add(self, who: str, address: str, port: int) -> None:
        self.agents[who].add_local(address, candidate_priority(65_535 - len(self.addresses[who])))
        self.addresses[who].append((address, port))

    def meet(self) -> None:
        for who, other in (("left", "right"), ("right", "left")):
            self.agents[who].set_remote(self.agents[other].credentials)

    def tell(self, who: str) -> None:
        """Give `who` the candidates of the other side."""
        other = "right" if who == "left" else "left"
        for index, (address, port) in enumerate(self.addresses[other]):
            self.agents[who].add_remote(address, port, candidate_priority(65_535 - index))

    def run(self, until_s: float) -> None:
        while True:
            dues = [d for agent in self.agents.values() if (d := agent.deadline_s) is not None]
            if not dues or min(dues) > until_s:
                break
            self.now_s = max(self.now_s, min(dues))
            for who, agent in self.agents.items():
                self._perform(who, agent.handle_deadline(self.now_s))
        self.now_s = until_s

    def _perform(self, who: str, outputs: list[Output]) -> None:
        waiting = deque((who, output) for output in outputs)
        while waiting:
            sender, output = waiting.popleft()
            if isinstance(output, Selected):
                self.selected[sender] = output
            elif isinstance(output, ConsentLost):
                self.lost.append(sender)
            else:
                waiting += self._carry(sender, output)

    def _carry(self, sender: str, output: Transmit) -> list[tuple[str, Output]]:
        source = self.addresses[sender][output.local]
        receiver = "right" if sender == "left" else "left"
        if output.remote in self.blocked or source in self.blocked:
            return []
        for index, address in enumerate(self.addresses[receiver]):
            if address == output.remote:
                answers = self.agents[receiver].handle_datagram(
                    index, source, output.data, self.now_s
                )
                return [(receiver, answer) for answer in answers]
        return []


def pair() -> Wire:
    wire = Wire(checklist(), checklist(THEIRS, controlling=False, tie_breaker=9))
    wire.add("left", "192.0.2.1", 1000)
    wire.add("right", "192.0.2.9", 2000)
    wire.meet()
    return wire


def test_the_controlling_side_nominates_and_both_select_the_same_pair() -> None:
    wire = pair()
    wire.tell("left")
    wire.tell("right")
    wire.run(0.5)

    assert wire.selected["left"].remote == ("192.0.2.9", 2000)
    assert wire.selected["right"].remote == ("192.0.2.1", 1000)


def test_a_side_that_knows_no_candidates_learns_them_from_checks() -> None:
    wire = pair()
    wire.tell("left")
    wire.run(0.5)

    assert wire.selected["right"].remote == ("192.0.2.1", 1000)


def test_checks_that_come_before_the_description_are_remembered() -> None:
    wire = Wire(checklist(), checklist(THEIRS, controlling=False, tie_breaker=9))
    wire.add("left", "192.0.2.1", 1000)
    wire.add("right", "192.0.2.9", 2000)
    wire.agents["left"].set_remote(THEIRS)
    wire.tell("left")
    wire.run(0.2)
    assert "right" not in wire.selected
    wire.agents["right"].set_remote(OURS)
    wire.run(2.0)

    assert wire.selected["right"].remote == ("192.0.2.1", 1000)


def test_a_dead_address_is_passed_over_for_a_living_one() -> None:
    wire = Wire(checklist(), checklist(THEIRS, controlling=False, tie_breaker=9))
    wire.add("left", "192.0.2.1", 1000)
    wire.add("left", "192.0.2.2", 1000)
    wire.add("right", "192.0.2.8", 2000)
    wire.add("right", "192.0.2.9", 2000)
    wire.blocked = {("192.0.2.1", 1000), ("192.0.2.8", 2000)}
    wire.meet()
    wire.tell("left")
    wire.run(2.0)

    assert (wire.selected["left"].local, wire.selected["left"].remote) == (1, ("192.0.2.9", 2000))
    assert wire.selected["right"].local == 1


def test_two_sides_that_both_want_to_control_settle_it_by_their_tie_breakers() -> None:
    left, right = checklist(tie_breaker=5), checklist(THEIRS, tie_breaker=9)
    wire = Wire(left, right)
    wire.add("left", "192.0.2.1", 1000)
    wire.add("right", "192.0.2.9", 2000)
    wire.meet()
    wire.tell("left")
    wire.tell("right")
    wire.run(2.0)

    assert (left.is_controlling, right.is_controlling) == (False, True)
    assert set(wire.selected) == {"left", "right"}


def test_consent_is_kept_by_answers_and_lost_without_them() -> None:
    wire = pair()
    wire.tell("left")
    wire.run(60.0)
    assert wire.lost == []
    wire.blocked = {("192.0.2.9", 2000)}
    wire.run(60.0 + CONSENT_TIMEOUT_S + 3.0)

    assert sorted(wire.lost) == ["left", "right"]
    assert wire.agents["left"].deadline_s is None


def test_loopback_is_paired_with_loopback_alone_when_there_is_one() -> None:
    agent = checklist()
    agent.add_local("127.0.0.1", candidate_priority(65_535))
    agent.add_local("192.0.2.1", candidate_priority(65_534))
    agent.set_remote(THEIRS)
    agent.add_remote("127.0.0.1", 2000, 1)
    agent.add_remote("198.51.100.7", 2000, 1)

    sent = [output for output in agent.handle_deadline(0.0) if isinstance(output, Transmit)]
    assert {(output.local, output.remote[0]) for output in sent} == {
        (0, "127.0.0.1"),
        (1, "198.51.100.7"),
    }


def test_our_own_address_is_reached_over_loopback_too() -> None:
    agent = checklist()
    agent.add_local("127.0.0.1", candidate_priority(65_535))
    agent.add_local("192.0.2.1", candidate_priority(65_534))
    agent.set_remote(THEIRS)
    agent.add_remote("192.0.2.1", 2000, 1)

    sent = [output for output in agent.handle_deadline(0.0) if isinstance(output, Transmit)]
    assert {output.local for output in sent} == {0, 1}


def test_useless_candidates_are_ignored() -> None:
    agent = checklist()
    agent.add_local("192.0.2.1", candidate_priority(65_535))
    agent.set_remote(THEIRS)
    for address, port in (
        ("host.local", 1),
        ("0.0.0.0", 1),
        ("224.0.0.1", 1),
        ("192.0.2.9", 0),
        ("fd00::1", 5),
    ):
        agent.add_remote(address, port, 1)

    assert agent.deadline_s is None


def test_a_flood_of_candidates_is_bounded() -> None:
    agent = checklist()
    agent.add_local("192.0.2.1", candidate_priority(65_535))
    agent.set_remote(THEIRS)
    for number in range(5_000):
        agent.add_remote(f"198.51.{number >> 8}.{number & 255}", 2000, 1)

    sent = 0
    for step in range(500):
        sent += len(agent.handle_deadline(step / 100))
    assert 0 < sent < 1_000


def test_a_check_with_a_wrong_password_or_name_is_not_answered() -> None:
    agent = checklist()
    agent.add_local("192.0.2.1", candidate_priority(65_535))
    agent.set_remote(THEIRS)
    for username, password in (("ours:theirs", "wrong"), ("other:theirs", OURS.pwd)):
        request = stun.build_binding_request(
            bytes(12),
            username=username,
            password=password,
            priority=1,
            controlling=False,
            tie_breaker=1,
        )
        assert agent.handle_datagram(0, ("192.0.2.9", 2000), request, 0.0) == []


@given(st.binary(max_size=120), st.booleans())
def test_any_datagram_is_taken_or_dropped(data: bytes, looks_like_stun: bool) -> None:
    agent = checklist()
    agent.add_local("192.0.2.1", candidate_priority(65_535))
    agent.set_remote(THEIRS)
    if looks_like_stun:
        size = len(data) // 4 * 4
        data = b"\x00\x01" + size.to_bytes(2, "big") + b"\x21\x12\xa4\x42" + bytes(12) + data[:size]

    assert agent.handle_datagram(0, ("192.0.2.9", 2000), data, 0.0) == []
