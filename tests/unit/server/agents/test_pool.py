from __future__ import annotations

import asyncio
import time
from collections import Counter

import pytest
from livekit.protocol import agent, models

from app.protocol.errors import ProtocolError
from app.protocol.token import verify_token
from app.server.agents import pool as pool_module
from app.server.agents.pool import NoWorkerError, WorkerPool
from app.server.agents.worker import Worker, read_registration
from app.server.config import ServerConfig

KEYS = {"key": "secret-of-thirty-two-characters-"}


class Far:
    """A worker's far end: answers what it is asked as it was told to."""

    def __init__(self, pool: WorkerPool, name: str = "", answer: str = "yes", load: float = 0.0):
        self.sent: list[agent.ServerMessage] = []
        self._answer = answer
        registration = read_registration(agent.RegisterWorkerRequest(agent_name=name))
        self.worker = Worker(f"AW_{id(self)}", "key", registration, self._send, lambda: None)
        self.worker.handle_status(agent.UpdateWorkerStatus(load=load))
        pool.add(self.worker)

    def _send(self, message: agent.ServerMessage) -> None:
        self.sent.append(message)
        if message.WhichOneof("message") != "availability" or self._answer == "silence":
            return
        response = agent.AvailabilityResponse(
            job_id=message.availability.job.id,
            available=self._answer in ("yes", "too much"),
            terminate=self._answer == "end",
            participant_name="x" * 300 if self._answer == "too much" else "Parrot",
            participant_attributes={"colour": "green"},
        )
        asyncio.get_running_loop().call_soon(self.worker.handle_availability, response)

    @property
    def kinds(self) -> list[str | None]:
        return [message.WhichOneof("message") for message in self.sent]


def job(name: str = "", job_id: str = "AJ_1") -> agent.Job:
    return agent.Job(id=job_id, agent_name=name, room=models.Room(name="room"))


@pytest.fixture
def pool() -> WorkerPool:
    return WorkerPool(ServerConfig(keys=KEYS), choose=lambda weights: weights.index(max(weights)))


def ended(_job: agent.Job) -> None:
    """Nobody cares."""


async def test_the_worker_with_most_room_gets_the_job_and_a_token_for_the_room(
    pool: WorkerPool,
) -> None:
    busy, free = Far(pool, load=0.6), Far(pool, load=0.1)

    taken = await pool.assign(job(), ended)

    assert busy.kinds == []
    assert free.kinds == ["availability", "assignment"]
    assignment = free.sent[1].assignment
    claims = verify_token(assignment.token, KEYS, now_s=time.time())
    assert (claims.identity, claims.name, claims.kind) == ("agent-AJ_1", "Parrot", "agent")
    assert claims.attributes == {"colour": "green", "lk.agent_name": ""}
    assert claims.video.room == "room"
    assert claims.video.agent
    assert claims.video.room_join
    assert not claims.video.room_admin
    assert taken.state.status == agent.JobStatus.JS_RUNNING
    assert taken.state.worker_id == free.worker.worker_id


@pytest.mark.parametrize("answer", ["no", "too much"])
async def test_a_job_that_is_declined_goes_to_the_next_worker(
    pool: WorkerPool, answer: str
) -> None:
    first, second = Far(pool, answer=answer), Far(pool, load=0.9)

    taken = await pool.assign(job(), ended)

    assert first.kinds == ["availability"]
    assert taken.state.worker_id == second.worker.worker_id


async def test_a_worker_that_stays_silent_is_passed_over(
    pool: WorkerPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool_module, "ANSWER_TIMEOUT_S", 0.01)
    Far(pool, answer="silence")
    second = Far(pool, load=0.9)

    taken = await pool.assign(job(), ended)

    assert taken.state.worker_id == second.worker.worker_id


async def test_a_worker_that_dies_while_it_is_asked_is_passed_over(pool: WorkerPool) -> None:
    first, second = Far(pool, answer="silence"), Far(pool, load=0.9)
    assigning = asyncio.ensure_future(pool.assign(job(), ended))
    await asyncio.sleep(0)
    assert first.kinds == ["availability"]

    pool.remove(first.worker)

    assert (await assigning).state.worker_id == second.worker.worker_id


async def test_nobody_takes_what_all_decline_and_nobody_is_asked_twice(pool: WorkerPool) -> None:
    workers = [Far(pool, answer="no"), Far(pool, answer="no")]

    with pytest.raises(NoWorkerError):
        await pool.assign(job(), ended)

    assert [worker.kinds for worker in workers] == [["availability"]] * 2


async def test_only_workers_of_the_wanted_name_are_asked(pool: WorkerPool) -> None:
    other = Far(pool, name="clerk")

    with pytest.raises(NoWorkerError):
        await pool.assign(job("parrot"), ended)

    assert other.kinds == []


async def test_full_draining_and_overloaded_workers_get_nothing(pool: WorkerPool) -> None:
    updates = (
        agent.UpdateWorkerStatus(status=agent.WorkerStatus.WS_FULL),
        agent.UpdateWorkerStatus(draining=True),
        agent.UpdateWorkerStatus(load=1.0),
        agent.UpdateWorkerStatus(load=float("nan")),
        agent.UpdateWorkerStatus(load=float("inf")),
    )
    for update in updates:
        Far(pool).worker.handle_status(update)

    with pytest.raises(NoWorkerError):
        await pool.assign(job(), ended)


async def test_the_freer_worker_is_the_likelier() -> None:
    pool = WorkerPool(ServerConfig(keys=KEYS))
    busy, free = Far(pool, load=0.9), Far(pool, load=0.1)

    chosen = Counter(
        [(await pool.assign(job(job_id=f"AJ_{n}"), ended)).state.worker_id for n in range(400)]
    )

    assert chosen[free.worker.worker_id] > chosen[busy.worker.worker_id] > 0


async def test_a_job_that_the_worker_ends_at_once_is_done(pool: WorkerPool) -> None:
    far = Far(pool, answer="end")

    taken = await pool.assign(job(), ended)

    assert taken.state.status == agent.JobStatus.JS_SUCCESS
    assert far.kinds == ["availability"]
    assert not far.worker.jobs


async def test_a_worker_that_comes_back_in_time_keeps_its_jobs(pool: WorkerPool) -> None:
    ends: list[agent.Job] = []
    first = Far(pool)
    await pool.assign(job(), ends.append)
    pool.remove(first.worker)
    assert pool.is_orphan("AJ_1")
    again = Far(pool)

    pool.handle_migration(again.worker, agent.MigrateJobRequest(job_ids=["AJ_1", "AJ_unknown"]))
    again.worker.handle_job_status(
        agent.UpdateJobStatus(job_id="AJ_1", status=agent.JobStatus.JS_SUCCESS), 5
    )

    assert [end.state.status for end in ends] == [agent.JobStatus.JS_SUCCESS]
    assert ends[0].state.worker_id == again.worker.worker_id


async def test_the_jobs_of_a_worker_that_stays_away_fail(
    pool: WorkerPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool_module, "RETURN_GRACE_S", 0.01)
    over = asyncio.get_running_loop().create_future()
    far = Far(pool)
    await pool.assign(job(), over.set_result)

    pool.remove(far.worker)

    ended_job = await over
    assert ended_job.state.status == agent.JobStatus.JS_FAILED
    assert ended_job.state.error == "agent worker is gone"


async def test_a_job_is_ended_once(pool: WorkerPool) -> None:
    ends: list[agent.Job] = []
    far = Far(pool)
    await pool.assign(job(), ends.append)

    pool.terminate("AJ_1", agent.JobStatus.JS_SUCCESS)
    pool.terminate("AJ_1", agent.JobStatus.JS_FAILED)
    far.worker.handle_job_status(
        agent.UpdateJobStatus(job_id="AJ_1", status=agent.JobStatus.JS_FAILED), 5
    )

    assert far.kinds[-1] == "termination"
    assert far.kinds.count("termination") == 1
    assert [end.state.status for end in ends] == [agent.JobStatus.JS_SUCCESS]


@pytest.mark.parametrize(
    "request_",
    [
        agent.RegisterWorkerRequest(type=9),  # type: ignore[arg-type]  # not of the enum
        agent.RegisterWorkerRequest(agent_name="x" * 300),
        agent.RegisterWorkerRequest(deployment="a_b"),
        agent.RegisterWorkerRequest(deployment="a b"),
    ],
)
def test_registrations_that_make_no_sense_are_refused(
    request_: agent.RegisterWorkerRequest,
) -> None:
    with pytest.raises(ProtocolError):
        read_registration(request_)
