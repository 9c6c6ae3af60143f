"""Agent workers at a real server: who gets which job, when jobs end, and what a stranger may do."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator, MutableMapping
from typing import Any

import aiohttp
import pytest
from livekit import api
from livekit.protocol import agent, agent_dispatch, models, rtc
from structlog.testing import capture_logs

from app.protocol.token import VideoGrant, issue_token, peek_claims, sign_claims
from app.server.agents import pool, room_agents, socket
from app.server.agents.room_agents import RoomAgents
from app.server.service import SfuService
from tests.support.raw_signal import RawSignal
from tests.support.raw_worker import RawWorker
from tests.support.session_room import KEY, SECRET, eventually, serving, token

Statuses = agent.JobStatus


@pytest.fixture
async def service() -> AsyncIterator[SfuService]:
    async with serving() as service:
        yield service


def worker(service: SfuService, **options: Any) -> RawWorker:
    grant = VideoGrant(agent=True)
    signed = issue_token(
        api_key=KEY, api_secret=SECRET, identity="", now_s=time.time(), ttl_s=600, grant=grant
    )
    return RawWorker(service.url, signed, **options)


def asking_token(identity: str, *agents: dict[str, Any]) -> str:
    claims = {**peek_claims(token(identity)), "roomConfig": {"agents": list(agents)}}
    return sign_claims(claims, api_secret=SECRET)


def agents_of(service: SfuService) -> RoomAgents:
    room = service.rooms.find("room")
    assert room is not None
    return room.agents


def jobs_of(service: SfuService) -> list[agent.Job]:
    return [job for entry in agents_of(service).list() for job in entry.state.jobs]


async def job_with(service: SfuService, status: agent.JobStatus) -> agent.Job:
    def find() -> agent.Job | None:
        return next((job for job in jobs_of(service) if job.state.status == status), None)

    found = await eventually(find, what=Statuses.Name(status))
    assert isinstance(found, agent.Job)
    return found


def ask(service: SfuService, name: str, **facts: Any) -> agent_dispatch.AgentDispatch:
    wanted: dict[str, Any] = {
        "metadata": "",
        "restart_policy": agent_dispatch.JobRestartPolicy.JRP_ON_FAILURE,
        "deployment": "",
        "attributes": {},
    }
    return agents_of(service).dispatch(agent_name=name, **{**wanted, **facts})


async def test_a_worker_without_a_name_gets_every_new_room(service: SfuService) -> None:
    async with worker(service) as far:
        await far.register()
        async with RawSignal(service.url, token("ada")):
            assignment = await far.take()
            assert assignment.job.room.name == "room"
            assert assignment.job.type == agent.JobType.JT_ROOM
            # The agent goes where its worker went: only the worker knows a way to us.
            assert not assignment.url
            async with RawSignal(service.url, assignment.token) as robot:
                info = robot.joined.participant
                assert info.kind == models.ParticipantInfo.AGENT
                assert info.identity == f"agent-{assignment.job.id}"
                assert dict(info.attributes) == {"lk.agent_name": ""}
                assert robot.joined.room.num_participants == 1


async def test_a_worker_that_writes_json_is_answered_in_json(service: SfuService) -> None:
    async with worker(service, as_json=True) as far:
        await far.register()
        assert far.worker_id.startswith("AW_")
        async with RawSignal(service.url, token("ada")):
            assert (await far.take()).token


async def test_a_token_names_its_agents_and_what_they_are_told(service: SfuService) -> None:
    async with worker(service) as unnamed, worker(service) as clerk:
        await unnamed.register()
        await clerk.register("clerk")
        wish = {"agentName": "clerk", "metadata": "tea", "attributes": {"cups": "2"}}
        async with RawSignal(service.url, asking_token("ada", wish)):
            job = (await clerk.take()).job
            assert (job.metadata, dict(job.attributes)) == ("tea", {"cups": "2"})
            assert job.agent_name == "clerk"
        await unnamed.round_trip()
        assert [entry.agent_name for entry in agents_of(service).list()] == ["clerk"]


async def test_agents_for_people_come_with_each_person_and_for_publishers_once(
    service: SfuService,
) -> None:
    async with worker(service) as far, worker(service) as listener:
        await far.register(type=agent.JobType.JT_PARTICIPANT)
        await listener.register(type=agent.JobType.JT_PUBLISHER)
        async with RawSignal(service.url, token("ada")):
            assert (await far.take()).job.participant.identity == "ada"
            async with RawSignal(service.url, token("bea")):
                assignment = await far.take()
                assert assignment.job.participant.identity == "bea"
                async with RawSignal(service.url, assignment.token):
                    # An agent gets no agent of its own.
                    await far.round_trip()
                    await listener.round_trip()
    assert len(jobs_of(service)) == 2


async def test_a_job_that_one_declines_is_taken_by_another(service: SfuService) -> None:
    async with worker(service) as first, worker(service) as second:
        await first.register()
        await second.register()
        async with RawSignal(service.url, token("ada")):
            declining = asyncio.ensure_future(first.decline())
            taking = asyncio.ensure_future(second.take())
            assignment = await taking
            declining.cancel()
            assert assignment.job.state.worker_id == second.worker_id


async def test_a_named_agent_is_waited_for_and_an_unnamed_one_is_not(service: SfuService) -> None:
    async with (
        RawSignal(service.url, token("ada")),
        worker(service) as unnamed,
        worker(service) as late,
    ):
        ask(service, "clerk", metadata="tea")
        await unnamed.register()
        await late.register("clerk")

        assert (await late.take()).job.metadata == "tea"
        await unnamed.round_trip()
        assert [job.agent_name for job in jobs_of(service)] == ["clerk"]


async def test_a_named_agent_is_waited_for_until_its_worker_has_room(service: SfuService) -> None:
    full, free = agent.WorkerStatus.WS_FULL, agent.WorkerStatus.WS_AVAILABLE
    async with RawSignal(service.url, token("ada")), worker(service) as far:
        await far.register("clerk")
        await far.send(update_worker=agent.UpdateWorkerStatus(status=full, load=0.9))
        await far.round_trip()
        ask(service, "clerk")
        await far.round_trip()

        await far.send(update_worker=agent.UpdateWorkerStatus(status=free, load=0.1))

        assert (await far.take()).job.agent_name == "clerk"


async def test_a_job_ends_when_its_room_does(service: SfuService) -> None:
    async with worker(service) as far:
        await far.register()
        async with RawSignal(service.url, token("ada")):
            job = (await far.take()).job
            agents = agents_of(service)
            service.rooms.close_room("room", models.DisconnectReason.ROOM_DELETED)

            assert (await far.receive("termination")).termination.job_id == job.id
            state = agents.list()[0].state.jobs[0].state
            assert state.status == Statuses.JS_SUCCESS
            assert state.reason == agent.JobStateReason.JSR_ROOM_CLOSED


async def test_a_job_ends_when_its_agent_leaves(service: SfuService) -> None:
    async with worker(service) as far:
        await far.register()
        async with RawSignal(service.url, token("ada")):
            assignment = await far.take()
            async with RawSignal(service.url, assignment.token) as robot:
                await robot.send(leave=rtc.LeaveRequest())
                await far.receive("termination")
            job = await job_with(service, Statuses.JS_FAILED)
            assert job.state.error == "agent worker left the room"
            await far.round_trip()
            assert len(jobs_of(service)) == 1


async def test_a_deleted_dispatch_ends_its_jobs_and_sends_the_agent_away(
    service: SfuService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room_agents, "LEAVE_TIMEOUT_S", 0.05)
    async with worker(service) as far:
        await far.register()
        async with RawSignal(service.url, token("ada")):
            assignment = await far.take()
            async with RawSignal(service.url, assignment.token) as robot:
                gone = agents_of(service).delete(assignment.job.dispatch_id)

                assert gone is not None
                assert gone.state.deleted_at > gone.state.created_at
                assert (await far.receive("termination")).termination.job_id == assignment.job.id
                leave = (await robot.receive("leave")).leave
                assert leave.reason == models.DisconnectReason.PARTICIPANT_REMOVED
            assert agents_of(service).list() == []
            assert agents_of(service).delete(assignment.job.dispatch_id) is None


@pytest.fixture
def quick_restarts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "RETURN_GRACE_S", 0.05)
    monkeypatch.setattr(room_agents, "RETURN_GRACE_S", 0.1)
    monkeypatch.setattr(room_agents, "RESTART_DELAY_S", 0.01)


@pytest.mark.usefixtures("quick_restarts")
async def test_the_job_of_a_worker_that_dies_goes_to_another(service: SfuService) -> None:
    async with worker(service) as first, RawSignal(service.url, token("ada")):
        await first.register("clerk")
        ask(service, "clerk")
        job = (await first.take()).job
        async with worker(service) as second:
            await second.register("clerk")
            await first.close()

            again = (await second.take()).job
            assert (again.dispatch_id, again.id != job.id) == (job.dispatch_id, True)
            assert [kept.state.reason for kept in jobs_of(service)] == [
                agent.JobStateReason.JSR_RETRYING,
                agent.JobStateReason.JSR_UNSPECIFIED,
            ]


@pytest.mark.usefixtures("quick_restarts")
async def test_an_agent_that_dies_a_moment_before_its_worker_is_replaced(
    service: SfuService,
) -> None:
    async with worker(service) as first, RawSignal(service.url, token("ada")):
        await first.register("clerk")
        ask(service, "clerk")
        assignment = await first.take()
        async with worker(service) as second, RawSignal(service.url, assignment.token) as robot:
            await second.register("clerk")
            await robot.close()
            await first.close()

            assert (await second.take()).job.id != assignment.job.id


@pytest.mark.usefixtures("quick_restarts")
async def test_an_agent_that_outlives_its_worker_is_replaced_when_it_leaves(
    service: SfuService,
) -> None:
    async with worker(service) as first, RawSignal(service.url, token("ada")):
        await first.register("clerk")
        ask(service, "clerk")
        assignment = await first.take()
        async with RawSignal(service.url, assignment.token) as robot, worker(service) as second:
            await second.register("clerk")
            await first.close()
            await job_with(service, Statuses.JS_FAILED)
            await asyncio.sleep(0.1)
            await second.round_trip()
            assert len(jobs_of(service)) == 1

            await robot.send(leave=rtc.LeaveRequest())

            assert (await second.take()).job.dispatch_id == assignment.job.dispatch_id


@pytest.mark.usefixtures("quick_restarts")
@pytest.mark.parametrize("never", [False, True])
async def test_a_job_that_fails_is_tried_again_a_few_times_unless_it_must_not(
    service: SfuService, never: bool
) -> None:
    policy = agent_dispatch.JobRestartPolicy
    async with worker(service) as far, RawSignal(service.url, token("ada")):
        await far.register("clerk")
        wanted = policy.JRP_NEVER if never else policy.JRP_ON_FAILURE
        ask(service, "clerk", restart_policy=wanted)
        for _ in range(1 if never else 1 + room_agents.MAX_RESTARTS):
            job = (await far.take()).job
            status = agent.UpdateJobStatus(job_id=job.id, status=Statuses.JS_FAILED, error="oh")
            await far.send(update_job=status)
        await asyncio.sleep(0.1)
        await far.round_trip()
        assert all(job.state.error == "oh" for job in jobs_of(service))
        assert len(jobs_of(service)) == (1 if never else 1 + room_agents.MAX_RESTARTS)


async def test_a_simulated_job_is_offered_to_the_worker_that_asked(service: SfuService) -> None:
    async with worker(service) as far:
        await far.register("clerk")
        await far.send(simulate_job=agent.SimulateJobRequest(room=models.Room(name="play")))
        assignment = await far.take()
        assert peek_claims(assignment.token)["video"]["room"] == "play"


async def test_dispatches_are_made_listed_and_deleted_by_the_server_api(
    service: SfuService,
) -> None:
    url = service.url.replace("ws://", "http://")
    async with worker(service) as far, api.LiveKitAPI(url, KEY, SECRET) as manager:
        await far.register("clerk")
        wish = api.CreateAgentDispatchRequest(room="room", agent_name="clerk", metadata="tea")
        making = asyncio.ensure_future(manager.agent_dispatch.create_dispatch(wish))
        job = (await far.take()).job
        made = await making
        assert (made.id, made.metadata, made.room) == (job.dispatch_id, "tea", "room")
        assert made.state.created_at > 10**18

        listed = await manager.agent_dispatch.list_dispatch("room")
        assert [entry.agent_name for entry in listed] == ["", "clerk"]
        found = await manager.agent_dispatch.get_dispatch(made.id, "room")
        assert found is not None
        assert found.state.jobs[0].state.participant_identity == f"agent-{job.id}"

        gone = await manager.agent_dispatch.delete_dispatch(made.id, "room")
        assert gone.state.jobs[0].state.status == Statuses.JS_SUCCESS
        assert (await far.receive("termination")).termination.job_id == job.id
        with pytest.raises(api.TwirpError) as unknown:
            await manager.agent_dispatch.delete_dispatch(made.id, "room")
        assert (unknown.value.code, unknown.value.status) == ("not_found", 404)
        with pytest.raises(api.TwirpError) as nowhere:
            await manager.agent_dispatch.list_dispatch("nowhere")
        assert nowhere.value.code == "not_found"
        with pytest.raises(api.TwirpError) as wrong:
            await manager.agent_dispatch.create_dispatch(
                api.CreateAgentDispatchRequest(room="room", deployment="a_b")
            )
        assert wrong.value.code == "invalid_argument"


async def test_dispatches_are_for_the_admins_of_their_room(service: SfuService) -> None:
    url = service.url.replace("ws://", "http://") + "/twirp/livekit.AgentDispatchService"
    tokens = [token("ada"), token("ada", room_admin=True, room="other"), ""]
    async with aiohttp.ClientSession() as session:
        for method in ("CreateDispatch", "DeleteDispatch", "ListDispatch"):
            for signed in tokens:
                headers = {"Authorization": f"Bearer {signed}"} if signed else {}
                async with session.post(
                    f"{url}/{method}", json={"room": "room"}, headers=headers
                ) as answer:
                    assert answer.status == 401
    assert service.rooms.find("room") is None


# --- strangers


@pytest.fixture
def lines() -> Iterator[list[MutableMapping[str, Any]]]:
    """What is logged; a stranger costs a line or two."""
    with capture_logs() as lines:
        yield lines
    assert len([line for line in lines if line["log_level"] == "warning"]) in (1, 2)


@pytest.mark.parametrize(
    ("signed", "status"),
    [(lambda: token("ada"), 401), (lambda: "nonsense", 401)],
    ids=["a participant's token", "no token"],
)
async def test_only_a_token_for_agents_opens_the_socket(
    service: SfuService, signed: Callable[[], str], status: int
) -> None:
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        async with RawWorker(service.url, signed()):
            pass
    assert refused.value.status == status


@pytest.mark.usefixtures("lines")
async def test_a_worker_that_never_registers_is_sent_away(
    service: SfuService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket, "REGISTER_TIMEOUT_S", 0.05)
    async with worker(service) as far:
        await far.closed()


@pytest.mark.usefixtures("lines")
@pytest.mark.parametrize(
    "rude",
    [
        {"register": agent.RegisterWorkerRequest(agent_name="twice")},
        {"register": agent.RegisterWorkerRequest(type=77)},  # type: ignore[arg-type]
    ],
)
async def test_a_second_registration_ends_the_session(
    service: SfuService, rude: dict[str, Any]
) -> None:
    async with worker(service) as far:
        await far.register()
        await far.send(**rude)
        await far.closed()
    await eventually(lambda: not service.workers.workers)


@pytest.mark.usefixtures("lines")
async def test_nothing_is_heard_from_a_worker_before_it_registers(service: SfuService) -> None:
    async with worker(service) as far:
        await far.send(update_job=agent.UpdateJobStatus(job_id="AJ_1"))
        await far.closed()


@pytest.mark.usefixtures("lines")
async def test_garbage_is_dropped_until_it_is_too_much(service: SfuService) -> None:
    async with worker(service) as far:
        await far.register()
        await far.socket.send_bytes(b"\xff\xff\xff")
        await far.socket.send_str("{]")
        await far.socket.send_bytes(b"")
        await far.send(availability=agent.AvailabilityResponse(job_id="AJ_nobody", available=True))
        await far.send(update_job=agent.UpdateJobStatus(job_id="AJ_nobody", status=3))  # type: ignore[arg-type]
        await far.send(migrate_job=agent.MigrateJobRequest(job_ids=["AJ_nobody"]))
        await far.send(simulate_job=agent.SimulateJobRequest())
        await far.socket.send_bytes(
            agent.WorkerMessage(ping=agent.WorkerPing(timestamp=7)).SerializeToString()
        )
        await far.receive("pong")
        for _ in range(socket.MAX_FAULTS):
            await far.socket.send_bytes(b"\xff")
        await far.closed()


async def test_one_worker_cannot_end_or_take_over_the_job_of_another(
    service: SfuService,
) -> None:
    async with worker(service) as honest, RawSignal(service.url, token("ada")):
        await honest.register("clerk")
        ask(service, "clerk")
        job = (await honest.take()).job
        async with worker(service) as thief:
            await thief.register("clerk")
            ended = agent.UpdateJobStatus(job_id=job.id, status=Statuses.JS_SUCCESS)
            await thief.send(update_job=ended)
            await thief.send(migrate_job=agent.MigrateJobRequest(job_ids=[job.id]))
            await thief.round_trip()
        assert jobs_of(service)[0].state.status == Statuses.JS_RUNNING
        assert jobs_of(service)[0].state.worker_id == honest.worker_id


async def test_the_server_stops_with_workers_and_jobs(service: SfuService) -> None:
    async with worker(service) as far:
        await far.register()
        async with RawSignal(service.url, token("ada")):
            await far.take()
            stopping = asyncio.ensure_future(service.stop())
            await far.receive("termination")
            await far.closed()
            await stopping
