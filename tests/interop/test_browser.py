"""`livekit-client` in Chromium against our server: browsers are the strictest of peers."""

from __future__ import annotations

import pytest

from tests.support.browser_peer import BrowserPeer, missing_browser
from tests.support.sdk_peer import SdkPeer
from tests.support.server_process import ServerProcess, token_for

pytestmark = [
    pytest.mark.interop,
    pytest.mark.skipif(bool(missing_browser()), reason=missing_browser() or "present"),
]


async def test_a_browser_and_an_sdk_see_hear_and_read_each_other(server: ServerProcess) -> None:
    async with (
        SdkPeer("sdk") as sdk,
        BrowserPeer(server.url, token_for("browser")) as browser,
    ):
        await browser.expect("published")
        await sdk.connect(server.url, token_for("sdk"))
        await sdk.call("listen", topic="lk.chat")
        await sdk.call("publish_tone", freq_hz=440)
        await sdk.call("publish_video", colour=[200, 40, 40], simulcast=True)

        frames = await browser.expect("frames", identity="sdk")
        tone = await browser.expect("tone", identity="sdk")
        await sdk.call("send_text", text="hello browser", topic="lk.chat")
        text = await browser.expect("text", identity="sdk")

        # Chromium's picture carries no counter of ours: its frames are counted as they come.
        camera = await sdk.wait_media("pictures", identity="browser", frames=30)

        assert camera["width"] * 9 == camera["height"] * 16
        assert frames["frames"] >= 30
        assert tone["hz"] == pytest.approx(440, abs=5)
        assert text["text"] == "hello browser"


async def test_a_browser_resumes_its_session_and_keeps_every_track(server: ServerProcess) -> None:
    async with (
        SdkPeer("sdk") as sdk,
        BrowserPeer(server.url, token_for("browser")) as browser,
    ):
        await browser.expect("published")
        await sdk.connect(server.url, token_for("sdk"))
        await sdk.call("publish_tone", freq_hz=440)
        await browser.expect("tone", identity="sdk")
        before = await sdk.wait_media("pictures", identity="browser", frames=10)

        for scenario in ("signal-reconnect", "disconnect-signal-on-resume"):
            await sdk.call("send_text", text=scenario, topic="simulate")
            await browser.expect("Reconnected")
            browser.forget()
        after = await sdk.wait_media("pictures", identity="browser", frames=before["frames"] + 30)
        assert after["sid"] == before["sid"]
        await sdk.call("listen", topic="lk.chat")
        await sdk.call("send_text", text="still there", topic="lk.chat")
        await browser.expect("text", text="still there")
        heard = await sdk.call("wait_inbox", count=1, within_s=30)
        assert heard[0]["text"] == "heard: still there"
        assert not browser.saw("TrackUnsubscribed", "ParticipantDisconnected", "disconnected")
        lost = {"track_unsubscribed", "participant_disconnected"}
        assert not [e for e in await sdk.call("events") if e["event"] in lost]

        await sdk.call("send_text", text="full-reconnect", topic="simulate")
        await sdk.wait_event("track_unsubscribed", identity="browser")
        await sdk.wait_media("pictures", identity="browser", frames=10)
