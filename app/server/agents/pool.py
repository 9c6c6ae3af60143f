"""All workers: which one gets a job, and what becomes of the jobs of one that is gone.

A job goes to a worker registered for exactly its agent name, namespace, type and deployment; the
freer one is the likelier. Who declines or stays silent is not asked again for that job.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Mapping

import structlog
from livekit.protocol import agent, models

from app.protocol.token import VideoGrant, issue_token
from app.server.agents.worker import JobDeclined, RunningJob, Worker, WorkerKey
from app.server.config import ServerConfig
from app.server.room.metadata import without_reserved

log = structlog.get_logger(__name__)

ANSWER_TIMEOUT_S = 10.0
TOKEN_TTL_S = 3600.0
# A worker whose socket broke reconnects within two seconds at first, then claims its jobs.
RETURN_GRACE_S = 5.0
MAX_WORKERS = 256
AGENT_NAME_ATTRIBUTE = "lk.agent_name"


class NoWorkerError(Exception):
    """Nobody took the job."""


class WorkerPool:
    """Registry of workers; lives on the server's loop."""

    def __init__(
        self, config: ServerConfig, *, choose: Callable[[list[float]], int] | None = None
    ) -> None:
        self._config = config
        self._choose = choose or _weighted_choice
        self._workers: dict[str, Worker] = {}
        # Jobs of a worker that lost its socket, until it has come back or its time is up.
        self._orphans: dict[str, tuple[str, RunningJob, asyncio.TimerHandle]] = {}
        self._owners: dict[str, Worker] = {}
        self._listeners: set[Callable[[WorkerKey], None]] = set()

    @property
    def workers(self) -> Mapping[str, Worker]:
        """Registered workers by id."""
        return self._workers

    @property
    def is_full(self) -> bool:
        """Whether one more worker would be too many."""
        return len(self._workers) >= MAX_WORKERS

    def subscribe(self, listener: Callable[[WorkerKey], None]) -> Callable[[], None]:
        """Call `listener` when there is room for jobs of a key; returns the undoing."""
        self._listeners.add(listener)
        return lambda: self._listeners.discard(listener)

    def namespaces(self, agent_name: str, job_type: int, deployment: str) -> list[str]:
        """Return where such a job would find a worker: one job each, as the reference does."""
        return sorted(
            {
                worker.key.namespace
                for worker in self._workers.values()
                if (worker.key.agent_name, worker.key.job_type, worker.key.deployment)
                == (agent_name, job_type, deployment)
            }
        )

    # --- workers come and go

    def add(self, worker: Worker) -> None:
        """A worker has registered."""
        self._workers[worker.worker_id] = worker
        log.info("agent worker registered", worker=worker.worker_id, kind=worker.key.job_type)
        self.room_for_jobs(worker)

    def room_for_jobs(self, worker: Worker) -> None:
        """Tell those whose jobs wait that this worker may take one."""
        if worker.room_for_more > 0:
            for listener in list(self._listeners):
                listener(worker.key)

    def remove(self, worker: Worker) -> None:
        """A worker's socket is gone; its jobs wait a moment for it to come back."""
        if self._workers.pop(worker.worker_id, None) is None:
            return
        worker.close()
        loop = asyncio.get_running_loop()
        for job_id, running in worker.jobs.items():
            self._owners.pop(job_id, None)
            timer = loop.call_later(RETURN_GRACE_S, self.give_up, job_id)
            self._orphans[job_id] = (worker.api_key, running, timer)
        worker.jobs = {}
        log.info("agent worker left", worker=worker.worker_id)

    def handle_migration(self, worker: Worker, request: agent.MigrateJobRequest) -> None:
        """Give a worker that came back the jobs that its agents went on with."""
        for job_id in [*request.job_ids, *(job.id for job in request.jobs)]:
            found = self._orphans.get(job_id)
            if found is None or found[0] != worker.api_key:
                continue
            running = found[1]
            if running.job.agent_name != worker.key.agent_name:
                continue
            del self._orphans[job_id]
            found[2].cancel()
            running.job.state.worker_id = worker.worker_id
            worker.jobs[job_id] = running
            self._owners[job_id] = worker

    # --- jobs

    async def assign(self, job: agent.Job, on_ended: Callable[[agent.Job], None]) -> agent.Job:
        """Find a worker for a job and start it there; returns the job with its state.

        A job that a worker ended instead of taking comes back as a success without a participant.
        """
        key = WorkerKey(
            agent_name=job.agent_name,
            namespace=job.namespace,
            job_type=job.type,
            deployment=job.deployment,
        )
        asked: set[str] = set()
        while True:
            worker = self._pick(key, asked)
            if worker is None:
                raise NoWorkerError
            asked.add(worker.worker_id)
            try:
                return await self.assign_to(worker, job, on_ended)
            except JobDeclined:
                log.info("agent job declined", job=job.id, worker=worker.worker_id)

    async def assign_to(
        self, worker: Worker, job: agent.Job, on_ended: Callable[[agent.Job], None]
    ) -> agent.Job:
        """Offer a job to one worker and start it there; `JobDeclined` when it does not take it."""
        offered = agent.Job()
        offered.CopyFrom(job)
        state = offered.state
        state.worker_id = worker.worker_id
        state.status = agent.JobStatus.JS_RUNNING
        state.started_at = state.updated_at = time.time_ns()
        answer = await worker.ask(offered, ANSWER_TIMEOUT_S)
        if answer.terminate:
            state.status = agent.JobStatus.JS_SUCCESS
            state.ended_at = time.time_ns()
            return offered
        state.participant_identity = answer.participant_identity or f"agent-{job.id}"
        if worker.is_closed:
            raise JobDeclined
        # No url: the worker reached this server by an address of its own, and its agents go there.
        assignment = agent.JobAssignment(job=offered, token=self._token(worker, offered, answer))
        worker.send(agent.ServerMessage(assignment=assignment))
        worker.jobs[job.id] = RunningJob(offered, on_ended)
        self._owners[job.id] = worker
        log.info("agent job assigned", job=job.id, worker=worker.worker_id)
        return offered

    def terminate(
        self, job_id: str, status: agent.JobStatus, *, error: str = "", reason: int = 0
    ) -> None:
        """End a running job, wherever it runs."""
        worker = self._owners.pop(job_id, None)
        now_ns = time.time_ns()
        if worker is not None and worker.terminate(
            job_id, status, now_ns, error=error, reason=reason
        ):
            return
        orphan = self._orphans.pop(job_id, None)
        if orphan is not None:
            orphan[2].cancel()
            orphan[1].end(status, now_ns, error=error, reason=reason)

    def is_orphan(self, job_id: str) -> bool:
        """Whether its worker is gone and has not come back yet."""
        return job_id in self._orphans

    def give_up(self, job_id: str) -> None:
        """Wait no longer for the worker of this job."""
        _, running, timer = self._orphans.pop(job_id)
        timer.cancel()
        running.end(agent.JobStatus.JS_FAILED, time.time_ns(), error="agent worker is gone")

    def forget(self, job_id: str) -> None:
        """A job has ended."""
        self._owners.pop(job_id, None)

    def close(self) -> None:
        """The server stops."""
        for _, _, timer in self._orphans.values():
            timer.cancel()
        self._orphans.clear()
        for worker in list(self._workers.values()):
            worker.hang_up()

    def _pick(self, key: WorkerKey, asked: set[str]) -> Worker | None:
        able = [
            worker
            for worker in self._workers.values()
            if worker.key == key and worker.worker_id not in asked and worker.room_for_more > 0
        ]
        return able[self._choose([worker.room_for_more for worker in able])] if able else None

    def _token(self, worker: Worker, job: agent.Job, answer: agent.AvailabilityResponse) -> str:
        may = worker.registration.permissions
        known = set(models.TrackSource.values())
        return issue_token(
            api_key=worker.api_key,
            api_secret=self._config.keys[worker.api_key],
            identity=job.state.participant_identity,
            now_s=time.time(),
            ttl_s=TOKEN_TTL_S,
            name=answer.participant_name,
            metadata=answer.participant_metadata,
            attributes={
                **without_reserved(answer.participant_attributes),
                AGENT_NAME_ATTRIBUTE: worker.key.agent_name,
            },
            kind="agent",
            grant=VideoGrant(
                room_join=True,
                room=job.room.name,
                agent=True,
                can_publish=may.can_publish,
                can_subscribe=may.can_subscribe,
                can_publish_data=may.can_publish_data,
                can_publish_sources=tuple(
                    models.TrackSource.Name(source).lower()
                    for source in may.can_publish_sources
                    if source in known
                ),
                can_update_own_metadata=may.can_update_metadata,
                can_subscribe_metrics=may.can_subscribe_metrics,
                hidden=may.hidden,
            ),
        )


def _weighted_choice(weights: list[float]) -> int:
    return random.choices(range(len(weights)), weights)[0]
