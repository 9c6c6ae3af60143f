"""Where an agent stands, from what a room shows of it. Sans-IO.

First match wins: a failure; what the agent says of itself in `lk.agent.state`; a microphone of
ours that is published already, whose sound is kept for the agent; a room that is not disconnected.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

STATE_ATTRIBUTE = "lk.agent.state"
AGENT_TIMEOUT_S = 20.0
NEVER_JOINED = "Agent did not join the room."
NEVER_READY = "Agent joined the room but did not complete initializing."
LEFT = "Agent left the room unexpectedly."


class AgentState(StrEnum):
    """The life of an agent as its caller sees it."""

    DISCONNECTED = "disconnected"
    CONNECTING = "connecting"
    PRE_CONNECT_BUFFERING = "pre-connect-buffering"
    INITIALIZING = "initializing"
    IDLE = "idle"
    LISTENING = "listening"
    THINKING = "thinking"
    SPEAKING = "speaking"
    FAILED = "failed"

    @property
    def is_connected(self) -> bool:
        """Whether it takes part in the conversation."""
        return self in (AgentState.LISTENING, AgentState.THINKING, AgentState.SPEAKING)

    @property
    def can_listen(self) -> bool:
        """Whether what is said now reaches it, sooner or later."""
        return self.is_connected or self is AgentState.PRE_CONNECT_BUFFERING

    @property
    def is_pending(self) -> bool:
        """Whether it may be there soon."""
        return self in (AgentState.CONNECTING, AgentState.INITIALIZING, AgentState.IDLE)

    @property
    def is_finished(self) -> bool:
        """Whether nothing more comes of it."""
        return self in (AgentState.DISCONNECTED, AgentState.FAILED)

    @property
    def has_agent(self) -> bool:
        """Whether the agent's name and tracks mean anything in this state."""
        return not self.is_finished and self is not AgentState.CONNECTING


# What an agent may say of itself; anything else is as good as nothing.
SPOKEN_STATES = {
    str(state): state
    for state in (
        AgentState.INITIALIZING,
        AgentState.IDLE,
        AgentState.LISTENING,
        AgentState.THINKING,
        AgentState.SPEAKING,
    )
}


def spoken_state(attributes: dict[str, str]) -> AgentState | None:
    """Return what an agent says of itself."""
    return SPOKEN_STATES.get(attributes.get(STATE_ATTRIBUTE, ""))


@dataclass
class AgentLife:
    """One session's agent: facts in, state out."""

    timeout_s: float = AGENT_TIMEOUT_S
    is_room_up: bool = False
    is_here: bool = False
    said: AgentState | None = None
    has_microphone: bool = False
    deadline_s: float | None = None
    _timeout_failure: str = ""
    _departure_failure: str = ""

    @property
    def failures(self) -> list[str]:
        """Why the state is `failed`."""
        return [text for text in (self._timeout_failure, self._departure_failure) if text]

    @property
    def state(self) -> AgentState:
        """Where the agent stands."""
        if self.failures:
            return AgentState.FAILED
        if self.is_here and self.said is not None:
            return self.said
        if not self.is_room_up:
            return AgentState.DISCONNECTED
        if self.has_microphone:
            return AgentState.PRE_CONNECT_BUFFERING
        return AgentState.CONNECTING

    def handle_room(self, is_up: bool, now_s: float) -> None:
        """The room is connecting or connected (up), or disconnected."""
        if is_up == self.is_room_up:
            return
        self.is_room_up = is_up
        if is_up:
            self._timeout_failure = ""
            self.deadline_s = now_s + self.timeout_s
            return
        self.deadline_s = None
        self._timeout_failure = self._departure_failure = ""
        self.is_here, self.said, self.has_microphone = False, None, False

    def handle_agent(self, said: AgentState | None) -> None:
        """The agent is here, and says this of itself."""
        if not self.is_here:
            self._timeout_failure = ""
        self.is_here = True
        self.said = said

    def handle_agent_left(self) -> None:
        """The agent has gone while the room goes on."""
        if not self.is_here:
            return
        self.is_here, self.said = False, None
        if self.is_room_up:
            self._departure_failure = LEFT

    def handle_microphone(self, is_published: bool) -> None:
        """One's own microphone is published, or not any more."""
        self.has_microphone = is_published

    def handle_deadline(self, now_s: float) -> None:
        """Time has passed."""
        if self.deadline_s is None or now_s < self.deadline_s:
            return
        self.deadline_s = None
        if not self.is_here:
            self._timeout_failure = self._timeout_failure or NEVER_JOINED
        elif self.said in (None, AgentState.INITIALIZING):
            self._timeout_failure = NEVER_READY
