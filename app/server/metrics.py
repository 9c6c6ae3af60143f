"""Metrics for Prometheus on a port of their own: put together when they are asked for.

Names and labels are LiveKit's where it has one for the same thing, so that what watches such a
server can watch this one; the others begin with `lanai_`. Nothing
here is labelled by room or person. The port is for the machine that watches: it is off unless
set, and bound to loopback unless told otherwise.
"""

from __future__ import annotations

import asyncio
import base64
import hmac
import os
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from aiohttp import web
from livekit.protocol import models
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from app.rtc.udp_mux import UdpMux
from app.runtime.errors import Reason, WorldError
from app.runtime.tasks import TaskOwner, spawn
from app.server.api.twirp import status_family
from app.server.api.webhook_delivery import Delivery
from app.server.config import ServerConfig
from app.server.room.rooms import Rooms
from app.server.spread import Spread
from app.server.tally import Tally

_LAG_INTERVAL_S = 0.5
NODE_TYPE = "SERVER"


@dataclass(frozen=True)
class Sources:
    """Where the numbers come from."""

    rooms: Rooms
    tally: Tally
    webhooks: Delivery
    port: UdpMux
    node_id: str


class MetricsServer:
    """The listener of `/metrics`; also measures how late the loop is."""

    def __init__(self, config: ServerConfig, sources: Sources, tasks: TaskOwner) -> None:
        self._config = config
        self._tasks = tasks
        self._collector = ServerCollector(sources)
        self._registry = CollectorRegistry()
        self._registry.register(self._collector)
        self._runner: web.AppRunner | None = None
        self.port = 0

    async def start(self) -> None:
        """Listen; WorldError PORT_TAKEN or NO_ROUTE."""
        application = web.Application()
        application.router.add_get("/metrics", self._handle)
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.5)
        await self._runner.setup()
        host, port = self._config.prometheus_bind, self._config.prometheus_port or 0
        try:
            await web.TCPSite(self._runner, host, port).start()
        except OSError as error:
            await self.stop()
            detail = f"metrics on tcp port {port}: {error.strerror}"
            raise WorldError(Reason.PORT_TAKEN, retry=True, detail=detail) from error
        self.port = int(self._runner.addresses[0][1])
        spawn(self._measure_lag(), name="loop-lag", owner=self._tasks)

    async def stop(self) -> None:
        """Stop listening."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def _handle(self, request: web.Request) -> web.Response:
        if not self._may_read(request.headers.get("Authorization", "")):
            return web.Response(status=401, headers={"WWW-Authenticate": "Basic"})
        body = generate_latest(self._registry)
        return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE_PLAIN_0_0_4})

    def _may_read(self, header: str) -> bool:
        username, password = self._config.prometheus_username, self._config.prometheus_password
        if not username:
            return True
        wanted = base64.b64encode(f"{username}:{password}".encode()).decode()
        return hmac.compare_digest(header.encode(errors="replace"), f"Basic {wanted}".encode())

    async def _measure_lag(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            due_s = loop.time() + _LAG_INTERVAL_S
            await asyncio.sleep(_LAG_INTERVAL_S)
            self._collector.note_lag(max(0.0, loop.time() - due_s))


class _Unsuffixed(Metric):
    """A counter whose name does not end in `_total`, which this library would add."""

    def __init__(self, name: str, words: str) -> None:
        super().__init__(name, words, "unknown")


class ServerCollector(Collector):
    """Reads the sources once per scrape."""

    def __init__(self, sources: Sources) -> None:
        self._from = sources
        self._labels = {"node_id": sources.node_id, "node_type": NODE_TYPE}
        self._started_at_s = time.time()
        self._lag_s = 0.0
        self._worst_lag_s = 0.0

    def note_lag(self, lag_s: float) -> None:
        """The loop came this much too late."""
        self._lag_s = lag_s
        self._worst_lag_s = max(self._worst_lag_s, lag_s)

    def collect(self) -> Iterable[Metric]:
        """Put everything together."""
        yield from self._people()
        yield from self._traffic()
        yield from self._messages()
        yield from self._spreads()
        yield from self._process()

    def _people(self) -> Iterable[Metric]:
        rooms = list(self._from.rooms.live.values())
        people = [person for room in rooms for person in room.participants.values()]
        published: Counter[str] = Counter()
        subscribed: Counter[str] = Counter()
        kinds: dict[str, str] = {}
        for person in people:
            for sid, publication in person.publisher.publications.items():
                kinds[sid] = models.TrackType.Name(publication.info.type).lower()
                if publication.is_announced:
                    published[kinds[sid]] += 1
        for person in people:
            subscribed.update(kinds[sid] for sid in person.subscriber.track_sids if sid in kinds)
        yield self._gauge("livekit_room_total", "Rooms that live now", len(rooms))
        yield self._gauge("livekit_participant_total", "Participants here now", len(people))
        for name, words, counts in (
            ("livekit_track_published_total", "Tracks published now", published),
            ("livekit_track_subscribed_total", "Subscriptions now", subscribed),
        ):
            family = GaugeMetricFamily(name, words, labels=("node_id", "node_type", "kind"))
            for kind in ("audio", "video"):
                family.add_metric((self._from.node_id, NODE_TYPE, kind), counts[kind])
            yield family
        yield self._counter(
            "lanai_participants_joined", "Participants that joined", self._from.tally.joined
        )

    def _traffic(self) -> Iterable[Metric]:
        port, tally = self._from.port, self._from.tally
        yield self._directed(
            "livekit_packet", "Datagrams of the media port", port.received, port.sent
        )
        size = _Unsuffixed(
            "livekit_packet_bytes", "Bytes of the media port, media only on the way out"
        )
        for direction, number in (("incoming", port.received_bytes), ("outgoing", port.sent_bytes)):
            size.add_sample(size.name, {**self._labels, "direction": direction}, number)
        yield size
        yield self._counter(
            "lanai_packet_dropped", "Datagrams that the kernel did not take", port.dropped
        )
        yield self._counter("lanai_packet_unknown", "Datagrams from nobody known", port.unknown)
        yield self._directed("livekit_nack", "Packets asked for again", tally.nacks_received, None)
        yield self._directed("livekit_pli", "Keyframes asked of publishers", None, tally.plis_sent)

    def _messages(self) -> Iterable[Metric]:
        tally, counts = self._from.tally, self._from.webhooks.counts
        yield self._directed(
            "lanai_signal_messages", "Signalling", tally.signal_received, tally.signal_sent
        )
        yield self._counter(
            "lanai_signal_malformed", "Signalling that made no sense", tally.signal_malformed
        )
        packets = (tally.data_received, tally.data_sent)
        yield self._labelled("lanai_data_packets", "Data packets", *packets)
        sizes = (tally.data_received_bytes, tally.data_sent_bytes)
        yield self._labelled("lanai_data_bytes", "Bytes of data packets", *sizes)
        yield self._counter(
            "lanai_data_packets_dropped", "Data packets not passed on", tally.data_dropped
        )
        answers = _Unsuffixed("livekit_node_twirp_request_status", "Calls of the server API")
        for (service, method, code), number in tally.twirp.items():
            status = status_family(code)
            labels = {"service": service, "method": method, "status": status}
            labels["code"] = "" if code == "ok" else code
            answers.add_sample(answers.name, {**self._labels, **labels}, number)
        yield answers
        reports = CounterMetricFamily(
            "lanai_webhooks", "What became of webhooks", labels=("node_id", "node_type", "outcome")
        )
        for outcome in ("delivered", "failed", "dropped", "retried"):
            reports.add_metric((self._from.node_id, NODE_TYPE, outcome), getattr(counts, outcome))
        yield reports
        yield self._gauge(
            "lanai_webhooks_waiting", "Webhooks on their way", self._from.webhooks.waiting
        )

    def _spreads(self) -> Iterable[Metric]:
        tally = self._from.tally
        yield self._histogram(
            "livekit_room_duration_seconds", "How long rooms lived", (), [((), tally.rooms_s)]
        )
        sessions = [((protocol,), spread) for protocol, spread in tally.sessions_ms.items()]
        yield self._histogram(
            "livekit_session_duration_ms",
            "How long participants were here whose connection came up",
            ("protocol_version",),
            sessions,
        )
        yield self._histogram(
            "livekit_node_twirp_request_latency_ms",
            "How long calls of the server API took",
            ("service", "method", "status"),
            tally.twirp_ms.items(),
        )

    def _histogram(
        self,
        name: str,
        words: str,
        labels: tuple[str, ...],
        spreads: Iterable[tuple[tuple[str, ...], Spread]],
    ) -> HistogramMetricFamily:
        family = HistogramMetricFamily(name, words, labels=("node_id", "node_type", *labels))
        for values, spread in spreads:
            family.add_metric(
                (self._from.node_id, NODE_TYPE, *values), spread.buckets(), spread.sum
            )
        return family

    def _labelled(
        self, name: str, words: str, incoming: Counter[str], outgoing: Counter[str]
    ) -> CounterMetricFamily:
        """A counter by data channel and direction."""
        family = CounterMetricFamily(
            name, words, labels=("node_id", "node_type", "label", "direction")
        )
        for direction, numbers in (("incoming", incoming), ("outgoing", outgoing)):
            for label, number in numbers.items():
                family.add_metric((self._from.node_id, NODE_TYPE, label, direction), number)
        return family

    def _process(self) -> Iterable[Metric]:
        yield CounterMetricFamily("process_cpu_seconds", "CPU time", value=time.process_time())
        resident = _resident_bytes()
        if resident is not None:
            yield GaugeMetricFamily("process_resident_memory_bytes", "Memory", value=resident)
        yield GaugeMetricFamily(
            "process_start_time_seconds", "When it started", value=self._started_at_s
        )
        worst_s, self._worst_lag_s = self._worst_lag_s, self._lag_s
        yield self._gauge("lanai_loop_lag_seconds", "How late the loop was last", self._lag_s)
        yield self._gauge(
            "lanai_loop_lag_worst_seconds",
            "How late it was at worst since the last scrape",
            worst_s,
        )

    def _gauge(self, name: str, words: str, value: float) -> GaugeMetricFamily:
        family = GaugeMetricFamily(name, words, labels=("node_id", "node_type"))
        family.add_metric((self._from.node_id, NODE_TYPE), value)
        return family

    def _counter(self, name: str, words: str, value: float) -> CounterMetricFamily:
        family = CounterMetricFamily(name, words, labels=("node_id", "node_type"))
        family.add_metric((self._from.node_id, NODE_TYPE), value)
        return family

    def _directed(
        self, name: str, words: str, incoming: int | None, outgoing: int | None
    ) -> CounterMetricFamily:
        family = CounterMetricFamily(name, words, labels=("node_id", "node_type", "direction"))
        for direction, value in (("incoming", incoming), ("outgoing", outgoing)):
            if value is not None:
                family.add_metric((self._from.node_id, NODE_TYPE, direction), value)
        return family


def _resident_bytes() -> int | None:
    """Memory in use, None where there is no `/proc` to say."""
    try:
        pages = int(Path("/proc/self/statm").read_text("ascii").split()[1])
    except (OSError, ValueError, IndexError):
        return None
    return pages * os.sysconf("SC_PAGE_SIZE")
