"""Which agents one room has asked for, the jobs that came of it, and when those end.

A dispatch asks for an agent: for the room, for each person who joins and for each who publishes;
which of the three becomes a job depends on what the workers registered for. A job that fails, or
whose worker dies, is given to a worker again a few times, unless the dispatch says never.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import structlog
from livekit.protocol import agent, models, rtc
from livekit.protocol import agent_dispatch as dispatching

from app.protocol.errors import ProtocolError
from app.runtime.tasks import TaskOwner, spawn
from app.server.agents.pool import NoWorkerError, WorkerPool
from app.server.agents.worker import ENDED, WorkerKey, check_deployment
from app.server.room.identifiers import fresh_id
from app.server.room.reports import RoomReports

if TYPE_CHECKING:
    from app.server.room.participant import Participant
    from app.server.room.room import Room

log = structlog.get_logger(__name__)

MAX_DISPATCHES = 64
MAX_KEPT_JOBS = 100
MAX_RESTARTS = 3
RESTART_DELAY_S = 1.0
# An agent that was told to end leaves by itself; beyond this the server removes it.
LEAVE_TIMEOUT_S = 3.0
# An agent whose connection broke comes back under its identity; until then its job goes on.
RETURN_GRACE_S = 5.0
LEFT_ERROR = "agent worker left the room"

_Reasons = models.DisconnectReason
# For good; whoever went otherwise may come back, or its worker's end may not be known yet.
_FOR_GOOD = (
    _Reasons.CLIENT_INITIATED,
    _Reasons.USER_UNAVAILABLE,
    _Reasons.USER_REJECTED,
    _Reasons.AGENT_ERROR,
    _Reasons.PARTICIPANT_REMOVED,
)


class TooManyDispatchesError(Exception):
    """The room has as many dispatches as it may have."""


@dataclass(frozen=True)
class _Want:
    """One job that a dispatch asks for."""

    dispatch_id: str
    job_type: agent.JobType
    participant_sid: str = ""


@dataclass(eq=False)
class _Dispatch:
    info: dispatching.AgentDispatch
    jobs: list[agent.Job] = field(default_factory=list)
    restarts: int = 0

    def snapshot(self) -> dispatching.AgentDispatch:
        copy = dispatching.AgentDispatch()
        copy.CopyFrom(self.info)
        copy.state.jobs.extend(self.jobs)
        return copy

    def keep(self, job: agent.Job) -> None:
        """Remember a job; of those that ended long ago the oldest go first."""
        self.jobs.append(job)
        ended = [job for job in self.jobs if job.state.status in ENDED]
        for old in ended[: max(0, len(self.jobs) - MAX_KEPT_JOBS)]:
            self.jobs.remove(old)


class RoomAgents:
    """Dispatches and jobs of one room; lives on the server's loop."""

    def __init__(
        self, room: Room, pool: WorkerPool, reports: RoomReports, tasks: TaskOwner
    ) -> None:
        self._room = room
        self._pool = pool
        self._reports = reports
        self._tasks = tasks
        self._dispatches: dict[str, _Dispatch] = {}
        self._wants: dict[str, _Want] = {}  # by job id
        self._running: dict[str, agent.Job] = {}
        self._waiting: dict[_Want, None] = {}
        self._restarting: dict[str, _Want] = {}  # by the identity that has to leave first
        self._ended_by_us: set[str] = set()
        self._published: set[str] = set()
        self._assigning: set[asyncio.Task[None]] = set()
        self._timers: set[asyncio.TimerHandle] = set()
        self._is_closed = False
        self._unsubscribe = pool.subscribe(self._on_worker)

    # --- dispatches

    def configure(self, wanted: Iterable[dispatching.RoomAgentDispatch]) -> None:
        """Ask for what the room was made with; without a wish, for every unnamed agent."""
        for wish in list(wanted) or [dispatching.RoomAgentDispatch()]:
            try:
                check_deployment(wish.deployment)
            except ProtocolError as error:
                log.warning("agent dispatch dropped", room=self._room.info.sid, reason=error.reason)
                continue
            if len(self._dispatches) < MAX_DISPATCHES:
                self.dispatch(
                    agent_name=wish.agent_name,
                    metadata=wish.metadata,
                    restart_policy=wish.restart_policy,
                    deployment=wish.deployment,
                    attributes=dict(wish.attributes),
                )

    def dispatch(
        self,
        *,
        agent_name: str,
        metadata: str,
        restart_policy: dispatching.JobRestartPolicy,
        deployment: str,
        attributes: dict[str, str],
    ) -> dispatching.AgentDispatch:
        """Ask for an agent from now on: for the room, and for everybody who is here."""
        if len(self._dispatches) >= MAX_DISPATCHES:
            raise TooManyDispatchesError
        info = dispatching.AgentDispatch(
            id=fresh_id("AD_"),
            agent_name=agent_name,
            room=self._room.name,
            metadata=metadata,
            restart_policy=restart_policy,
            deployment=deployment,
            attributes=attributes,
            state=dispatching.AgentDispatchState(created_at=time.time_ns()),
        )
        entry = self._dispatches[info.id] = _Dispatch(info)
        self._launch(_Want(info.id, agent.JobType.JT_ROOM))
        for participant in self._room.participants.values():
            if participant.is_dependent:
                continue
            self._launch(_Want(info.id, agent.JobType.JT_PARTICIPANT, participant.sid))
            if participant.is_publisher:
                self._launch(_Want(info.id, agent.JobType.JT_PUBLISHER, participant.sid))
        return entry.snapshot()

    def list(self, dispatch_id: str = "") -> list[dispatching.AgentDispatch]:
        """Return all dispatches, or the one of this id."""
        return [
            entry.snapshot()
            for entry in self._dispatches.values()
            if dispatch_id in ("", entry.info.id)
        ]

    def delete(self, dispatch_id: str) -> dispatching.AgentDispatch | None:
        """Ask no longer; its jobs end and their agents leave. None when there is none."""
        entry = self._dispatches.pop(dispatch_id, None)
        if entry is None:
            return None
        for want in [want for want in self._waiting if want.dispatch_id == dispatch_id]:
            del self._waiting[want]
        for job in entry.jobs:
            if job.state.status not in ENDED:
                self._end(job.id, reason=agent.JobStateReason.JSR_DISPATCH_DELETED)
                self._later(LEAVE_TIMEOUT_S, self._remove_agent, job.state.participant_identity)
        entry.info.state.deleted_at = time.time_ns()
        return entry.snapshot()

    # --- what happens in the room

    def participant_joined(self, participant: Participant) -> None:
        """Somebody may want an agent of their own."""
        if not participant.is_dependent:
            for dispatch_id in self._dispatches:
                self._launch(_Want(dispatch_id, agent.JobType.JT_PARTICIPANT, participant.sid))

    def participant_published(self, participant: Participant) -> None:
        """The same, once for everybody who publishes."""
        if participant.is_dependent or participant.sid in self._published:
            return
        self._published.add(participant.sid)
        for dispatch_id in self._dispatches:
            self._launch(_Want(dispatch_id, agent.JobType.JT_PUBLISHER, participant.sid))

    def participant_left(self, participant: Participant, reason: int) -> None:
        """Whatever was wanted for somebody is not wanted any more; an agent's job ends."""
        self._published.discard(participant.sid)
        for want in [want for want in self._waiting if want.participant_sid == participant.sid]:
            del self._waiting[want]
        if self._is_closed or not participant.is_dependent:
            return
        if reason in _FOR_GOOD:
            self._agent_left(participant.identity)
        else:
            self._later(RETURN_GRACE_S, self._agent_left, participant.identity)

    def close(self) -> None:
        """The room is over, and so are its jobs."""
        self._is_closed = True
        self._unsubscribe()
        for job_id in list(self._running):
            self._end(job_id, reason=agent.JobStateReason.JSR_ROOM_CLOSED)
        for task in self._assigning:
            task.cancel()
        for timer in self._timers:
            timer.cancel()
        self._waiting.clear()

    # --- jobs

    def _launch(self, want: _Want) -> None:
        entry = self._dispatches.get(want.dispatch_id)
        if self._is_closed or entry is None:
            return
        participant = self._room.participants.get(want.participant_sid)
        if want.participant_sid and participant is None:
            return
        info = entry.info
        spaces = self._pool.namespaces(info.agent_name, want.job_type, info.deployment)
        if not spaces:
            self._wait(want)
        for namespace in spaces:
            job = agent.Job(
                id=fresh_id("AJ_"),
                dispatch_id=info.id,
                type=want.job_type,
                room=self._room.snapshot(),
                participant=participant.snapshot() if participant is not None else None,
                namespace=namespace,
                metadata=info.metadata,
                agent_name=info.agent_name,
                deployment=info.deployment,
                attributes=dict(info.attributes),
            )
            task = spawn(self._assign(entry, want, job), name="agent-job", owner=self._tasks)
            self._assigning.add(task)
            task.add_done_callback(self._assigning.discard)

    async def _assign(self, entry: _Dispatch, want: _Want, job: agent.Job) -> None:
        try:
            started = await self._pool.assign(job, self._on_ended)
        except NoWorkerError:
            log.info("no worker for an agent job", room=self._room.info.sid, job=job.id)
            self._wait(want)
            return
        entry.keep(started)
        if started.state.status in ENDED:
            return
        self._wants[job.id] = want
        self._running[job.id] = started
        self._reports.agent_job_started(self._room.snapshot(), started)
        if entry.info.id not in self._dispatches:
            # Deleted while a worker was being found.
            self._end(job.id, reason=agent.JobStateReason.JSR_DISPATCH_DELETED)

    def _wait(self, want: _Want) -> None:
        """Keep a wish for a named agent until a worker of that name has room for it."""
        entry = self._dispatches.get(want.dispatch_id)
        if entry is not None and entry.info.agent_name and not self._is_closed:
            self._waiting[want] = None

    def _on_worker(self, key: WorkerKey) -> None:
        for want in list(self._waiting):
            info = self._dispatches[want.dispatch_id].info
            if (info.agent_name, info.deployment) == (key.agent_name, key.deployment) and (
                want.job_type == key.job_type
            ):
                del self._waiting[want]
                self._launch(want)

    def _end(self, job_id: str, *, reason: int) -> None:
        self._ended_by_us.add(job_id)
        self._pool.terminate(job_id, agent.JobStatus.JS_SUCCESS, reason=reason)

    def _on_ended(self, job: agent.Job) -> None:
        self._pool.forget(job.id)
        if self._running.pop(job.id, None) is None:
            return
        want = self._wants.pop(job.id)
        log.info("agent job ended", job=job.id, status=agent.JobStatus.Name(job.state.status))
        self._reports.agent_job_ended(self._room.snapshot(), job)
        entry = self._dispatches.get(want.dispatch_id)
        is_ours = job.id in self._ended_by_us
        self._ended_by_us.discard(job.id)
        failed = job.state.status == agent.JobStatus.JS_FAILED
        if entry is None or is_ours or not failed or self._is_closed:
            return
        never = entry.info.restart_policy == dispatching.JobRestartPolicy.JRP_NEVER
        if never or entry.restarts >= MAX_RESTARTS:
            return
        job.state.reason = agent.JobStateReason.JSR_RETRYING
        delay_s = RESTART_DELAY_S * 2**entry.restarts
        entry.restarts += 1
        self._later(delay_s, self._restart, want, job.state.participant_identity)

    def _restart(self, want: _Want, identity: str) -> None:
        if self._room.by_identity(identity) is not None:
            # Its worker is gone, the agent is not: two of them would talk at once.
            self._restarting[identity] = want
            return
        self._launch(want)

    def _agent_left(self, identity: str) -> None:
        if self._is_closed or self._room.by_identity(identity) is not None:
            return
        want = self._restarting.pop(identity, None)
        if want is not None:
            self._launch(want)
        for job in list(self._running.values()):
            if job.state.participant_identity != identity:
                continue
            if self._pool.is_orphan(job.id):
                self._pool.give_up(job.id)
                continue
            self._ended_by_us.add(job.id)
            self._pool.terminate(job.id, agent.JobStatus.JS_FAILED, error=LEFT_ERROR)

    def _remove_agent(self, identity: str) -> None:
        participant = self._room.by_identity(identity)
        if participant is not None and participant.is_dependent:
            participant.dismiss(rtc.LeaveRequest.DISCONNECT, _Reasons.PARTICIPANT_REMOVED)
            self._room.participant_left(participant, _Reasons.PARTICIPANT_REMOVED)

    def _later(self, delay_s: float, call: object, *arguments: object) -> None:
        loop = asyncio.get_running_loop()

        def run() -> None:
            self._timers.discard(timer)
            call(*arguments)  # type: ignore[operator]  # a method of this class

        timer = loop.call_later(delay_s, run)
        self._timers.add(timer)
