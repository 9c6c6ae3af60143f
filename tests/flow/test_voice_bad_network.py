"""A voice through the real server and a real bad link into the mixer of a listener.

`tests/unit/media` proves the figures in virtual time; here every part is real, so what is asked
for is a stretch of seconds as good as that, within the deadline.
"""

from __future__ import annotations

import numpy as np
import pytest

from app.engine.track import RemoteAudioTrack
from app.media.frames import Pcm
from app.media.play.mixer import Mixer
from app.media.play.speaker import NullOutput
from app.protocol.sdp import parse_candidate
from app.rtc import ice_agent
from app.rtc.ice_agent import IceAgent
from tests.support.engine_peer import EnginePeer
from tests.support.link import CAFE_WIFI, PERFECT, UdpRelay
from tests.support.session_room import eventually, serving, token
from tests.support.signals import tone_peak

SEED = 20_261_120
STRETCH_BLOCKS = 300


async def test_a_tone_crosses_a_cafe_network_into_the_mixer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    print(f"{CAFE_WIFI.name}, seed {SEED}")
    async with serving() as server, EnginePeer("ada") as ada:
        await ada.room.connect(server.url, token("ada"))
        await ada.publish_tone(550)
        async with UdpRelay(
            ("127.0.0.1", server.rtc_port), up=PERFECT, down=CAFE_WIFI, seed=SEED
        ) as relay:
            take = IceAgent.add_remote_candidate

            def detour(self: IceAgent, line: str) -> None:
                candidate = parse_candidate(line)
                if candidate.address == "127.0.0.1":
                    take(self, line.replace(f" {candidate.port} ", f" {relay.address[1]} "))

            monkeypatch.setattr(IceAgent, "add_remote_candidate", detour)
            monkeypatch.setattr(ice_agent, "local_addresses", lambda _: ["127.0.0.1"])
            async with EnginePeer("bob") as bob:
                await bob.room.connect(server.url, token("bob"))
                track, _, _ = await bob.wait_event("track_subscribed")
                assert isinstance(track, RemoteAudioTrack)
                await listen(track)
            assert relay.down.lost > 3


async def listen(track: RemoteAudioTrack) -> None:
    """Wait for three seconds in a row that are as good as promised."""
    mixer, heard = Mixer(), list[Pcm]()
    stream = track.open_audio()
    mixer.add("ada", stream)
    mixer.add_tap(heard.append, key="ada")
    output = NullOutput(mixer)
    output.start()
    start, before = 0, stream.stats()

    def is_good() -> bool:
        nonlocal start, before
        if len(heard) < start + STRETCH_BLOCKS:
            return False
        now = stream.stats()
        sound = np.concatenate(heard[start : start + STRETCH_BLOCKS])
        played = now.played_samples - before.played_samples
        concealed = now.concealed_samples - before.concealed_samples
        start, before = len(heard), now
        print(f"{concealed / max(1, played):.3f} concealed, {now.delay_ms:.0f} ms late")
        return (
            tone_peak(sound).is_tone(550)
            and played > 0.9 * sound.shape[0]
            and concealed <= 0.05 * played
            and now.delay_ms <= 200
        )

    try:
        await eventually(is_good, what="three good seconds")
    finally:
        output.close()
        track.close_audio(stream)
