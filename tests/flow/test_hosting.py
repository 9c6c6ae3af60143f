"""Hosting with the real server process: ports, parents, restarts."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from app.engine.client import JoinSpec
from app.host.hosted import HostedServer
from app.host.network import LOOPBACK, is_pair_free, port_pairs
from app.protocol.invite import LinkKind, parse_link
from app.runtime.paths import Paths
from app.runtime.settings import Settings
from tests.support.meeting import DEADLINE_S, attending, guest_link, hosted


def free_neighbours() -> int:
    """Find a port whose own pair and the next one are free, to stand in for 7880."""
    for port in range(42_000, 60_000, 16):
        pairs = list(port_pairs(port, port + 2))[:2]
        if all(is_pair_free([LOOPBACK], *pair) for pair in pairs):
            return port
    pytest.skip("no free pairs of ports here")


async def test_a_port_in_use_moves_the_meeting_to_the_next_pair(tmp_path: Path) -> None:
    port = free_neighbours()
    with socket.socket() as taken:
        taken.bind((LOOPBACK, port))
        taken.listen()
        settings = Settings(host_port=port, host_rtc_port=port + 2)
        server = HostedServer(settings, Paths.under(tmp_path), use_keyring=False)

        room = await server.start("jam", "Ada", lan=False)
        await server.stop()

    assert room.address == f"{LOOPBACK}:{port + 4}"


async def test_the_invitation_leads_to_this_room_and_can_be_renewed(tmp_path: Path) -> None:
    async with hosted(tmp_path) as (server, room), attending(tmp_path) as guest:
        link = parse_link(room.invite_link)
        renewed = server.renew_invite()
        await guest.join(
            JoinSpec("Bo", guest_link(renewed), mic_on=False, camera_on=False),
        )

    assert (link.kind, link.room, link.address) == (LinkKind.INVITE, "jam", room.address)
    assert parse_link(room.web_link).invite == link.invite
    assert renewed.invite_link != room.invite_link
    assert room.token not in repr(room)


async def test_the_server_goes_when_its_parent_dies(tmp_path: Path) -> None:
    code = f"""
import asyncio, os, pathlib
from app.host.hosted import HostedServer
from app.runtime.paths import Paths
from app.runtime.settings import Settings
async def main():
    paths = Paths.under(pathlib.Path({str(tmp_path)!r}))
    server = HostedServer(Settings(host_port=0, host_rtc_port=0), paths, use_keyring=False)
    room = await server.start("jam", "Ada", lan=False)
    print(server.pid, room.address, flush=True)
    os._exit(9)
asyncio.run(main())
"""

    def run() -> str:
        return subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            timeout=DEADLINE_S,
            check=False,
            cwd=Path(__file__).resolve().parents[2],
        ).stdout

    pid, address = (await asyncio.to_thread(run)).splitlines()[-1].split()
    host, port = address.split(":")

    async with asyncio.timeout(DEADLINE_S):
        while _listens(host, int(port)):  # noqa: ASYNC110 - another process's end raises no event
            await asyncio.sleep(0.05)
    assert int(pid) != os.getpid()


def _listens(host: str, port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((host, port)) == 0


@pytest.mark.skipif(not Path("/proc").exists(), reason="no /proc here")
async def test_no_secret_is_on_the_servers_command_line(tmp_path: Path) -> None:
    async with hosted(tmp_path, passcode="open sesame") as (server, _):
        secret = read(Paths.under(tmp_path).config / "server-key").strip().split(b":")[1]
        seen = read(Path(f"/proc/{server.pid}/cmdline"))
        environment = read(Path(f"/proc/{server.pid}/environ"))

    for private in (secret, b"open sesame"):
        assert private not in seen + environment


def read(path: Path) -> bytes:
    return path.read_bytes()
