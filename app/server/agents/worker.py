"""One agent worker: what it registered as, how loaded it is, which jobs it runs.

The worker is a stranger's program: loads are clamped, identities it picks are checked, answers to
questions nobody asked are dropped. Time is an argument, and sending is a callable.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from dataclasses import dataclass, field

from livekit.protocol import agent, models

from app.protocol.errors import ProtocolError
from app.server.room.metadata import MAX_ATTRIBUTES_BYTES, MAX_METADATA_BYTES

MAX_NAME_CHARS = 256
ENDED = (agent.JobStatus.JS_SUCCESS, agent.JobStatus.JS_FAILED, agent.JobStatus.JS_CANCELLED)
_JOB_TYPES = (agent.JobType.JT_ROOM, agent.JobType.JT_PUBLISHER, agent.JobType.JT_PARTICIPANT)


@dataclass(frozen=True)
class WorkerKey:
    """Which jobs a worker is for."""

    agent_name: str
    namespace: str
    job_type: int
    deployment: str


@dataclass(frozen=True)
class Registration:
    """What a worker said of itself, checked."""

    key: WorkerKey
    version: str
    permissions: models.ParticipantPermission


def read_registration(request: agent.RegisterWorkerRequest) -> Registration:
    """Check a registration; `ProtocolError` says what is wrong with it."""
    if request.type not in _JOB_TYPES:
        raise ProtocolError("unknown job type")
    for text in (request.agent_name, request.namespace, request.version):
        if len(text) > MAX_NAME_CHARS:
            raise ProtocolError("a name in the registration is too long")
    check_deployment(request.deployment)
    if request.HasField("allowed_permissions"):
        permissions = request.allowed_permissions
    else:
        permissions = models.ParticipantPermission(
            can_subscribe=True, can_publish=True, can_publish_data=True, can_update_metadata=True
        )
    return Registration(
        key=WorkerKey(
            agent_name=request.agent_name,
            namespace=request.namespace,
            job_type=request.type,
            deployment=request.deployment,
        ),
        version=request.version,
        permissions=permissions,
    )


def check_deployment(deployment: str) -> None:
    """A deployment's name is one word without underscores; `ProtocolError` if it is not."""
    if len(deployment) > MAX_NAME_CHARS:
        raise ProtocolError("deployment is too long")
    if any(char == "_" or char <= " " or char == "\x7f" for char in deployment):
        raise ProtocolError("deployment contains a reserved character")


class JobDeclined(Exception):  # noqa: N818 - an answer, not a fault
    """The worker does not take the job: busy, gone, silent, or it gave no usable answer."""


@dataclass(eq=False)
class RunningJob:
    """A job that a worker has taken, until it has ended."""

    job: agent.Job
    on_ended: Callable[[agent.Job], None]

    def end(
        self, status: agent.JobStatus, now_ns: int, *, error: str = "", reason: int = 0
    ) -> None:
        """Write down how it ended and tell whoever wanted it; the second end is ignored."""
        state = self.job.state
        if state.status in ENDED:
            return
        state.status = status
        state.error = error[:MAX_NAME_CHARS]
        state.reason = reason  # type: ignore[assignment]  # enums are ints
        state.updated_at = state.ended_at = now_ns
        self.on_ended(self.job)


@dataclass(eq=False)
class Worker:
    """State of one registered worker."""

    worker_id: str
    api_key: str
    registration: Registration
    send: Callable[[agent.ServerMessage], None]
    hang_up: Callable[[], None]
    load: float = 0.0
    is_available: bool = True
    is_closed: bool = False
    jobs: dict[str, RunningJob] = field(default_factory=dict)
    _asked: dict[str, asyncio.Future[agent.AvailabilityResponse]] = field(default_factory=dict)

    @property
    def key(self) -> WorkerKey:
        """Which jobs it is for."""
        return self.registration.key

    @property
    def room_for_more(self) -> float:
        """Its weight when a worker is chosen; 0 is never chosen."""
        return 1.0 - self.load if self.is_available and not self.is_closed else 0.0

    async def ask(self, job: agent.Job, timeout_s: float) -> agent.AvailabilityResponse:
        """Offer a job and wait for the answer; `JobDeclined` for every answer but a yes or an end.

        Silence is a no: the next worker is asked, and a late answer finds nobody waiting.
        """
        if self.is_closed or job.id in self._asked:
            raise JobDeclined
        answer = asyncio.get_running_loop().create_future()
        self._asked[job.id] = answer
        try:
            self.send(agent.ServerMessage(availability=agent.AvailabilityRequest(job=job)))
            async with asyncio.timeout(timeout_s):
                response: agent.AvailabilityResponse = await answer
        except TimeoutError as error:
            raise JobDeclined from error
        finally:
            self._asked.pop(job.id, None)
        if not response.terminate and not (response.available and is_usable(response)):
            raise JobDeclined
        return response

    def handle_availability(self, response: agent.AvailabilityResponse) -> bool:
        """Hand an answer to whoever asked; False when nobody did."""
        answer = self._asked.pop(response.job_id, None)
        if answer is None or answer.done():
            return False
        answer.set_result(response)
        return True

    def handle_status(self, update: agent.UpdateWorkerStatus) -> None:
        """Note how busy it is."""
        if update.HasField("status"):
            self.is_available = update.status == agent.WorkerStatus.WS_AVAILABLE
        if update.draining:
            self.is_available = False
        load = update.load
        self.load = min(max(load, 0.0), 1.0) if math.isfinite(load) else 1.0

    def handle_job_status(self, update: agent.UpdateJobStatus, now_ns: int) -> None:
        """Note how a job goes; of one that it does not run nothing is noted."""
        running = self.jobs.get(update.job_id)
        if running is None:
            return
        if update.status in ENDED:
            del self.jobs[update.job_id]
            running.end(update.status, now_ns, error=update.error)
            return
        running.job.state.status = update.status
        running.job.state.error = update.error[:MAX_NAME_CHARS]
        running.job.state.updated_at = now_ns

    def terminate(
        self, job_id: str, status: agent.JobStatus, now_ns: int, *, error: str = "", reason: int = 0
    ) -> bool:
        """Tell the worker to end a job; False when it does not run it."""
        running = self.jobs.pop(job_id, None)
        if running is None:
            return False
        if not self.is_closed:
            self.send(agent.ServerMessage(termination=agent.JobTermination(job_id=job_id)))
        running.end(status, now_ns, error=error, reason=reason)
        return True

    def close(self) -> None:
        """The socket is gone: nobody who still waits for an answer gets one."""
        self.is_closed = True
        for answer in self._asked.values():
            if not answer.done():
                answer.set_exception(JobDeclined())
        self._asked.clear()


def is_usable(response: agent.AvailabilityResponse) -> bool:
    """Whether a participant can be made of what a worker chose."""
    attributes = response.participant_attributes
    size = sum(len(key.encode()) + len(value.encode()) for key, value in attributes.items())
    return (
        len(response.participant_identity.encode()) <= MAX_NAME_CHARS
        and len(response.participant_name.encode()) <= MAX_NAME_CHARS
        and len(response.participant_metadata.encode()) <= MAX_METADATA_BYTES
        and size <= MAX_ATTRIBUTES_BYTES
    )
