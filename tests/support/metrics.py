"""A server's metrics as Prometheus reads them."""

from __future__ import annotations

import aiohttp
from prometheus_client.parser import text_string_to_metric_families

from app.server.service import SfuService

_NODE = ("node_id", "node_type")

Readings = dict[tuple[str, frozenset[tuple[str, str]]], float]


async def scrape(service: SfuService, http: aiohttp.ClientSession) -> Readings:
    """Read everything at once; what names the node is left out of the labels."""
    assert service.metrics is not None
    async with http.get(f"http://127.0.0.1:{service.metrics.port}/metrics") as answer:
        assert answer.status == 200
        text = await answer.text()
    return {
        (sample.name, frozenset((k, v) for k, v in sample.labels.items() if k not in _NODE)): (
            sample.value
        )
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def reading(readings: Readings, name: str, **labels: str) -> float:
    """One number; 0 when it is not there, as Prometheus' `or 0`."""
    return readings.get((name, frozenset(labels.items())), 0.0)
