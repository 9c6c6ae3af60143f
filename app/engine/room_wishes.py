"""What a script may ask of a room, in the session's words; what is not built is said."""

from __future__ import annotations

from collections.abc import Callable

from livekit.protocol import rtc as lk_rtc

from app.engine.enums import IceTransportType, SimulateScenarioKind
from app.engine.options import RoomOptions, RtcConfiguration
from app.engine.session import SessionOptions

_SCENARIOS: dict[int, Callable[[], lk_rtc.SimulateScenario]] = {
    SimulateScenarioKind.SIMULATE_SPEAKER: lambda: lk_rtc.SimulateScenario(speaker_update=3),
    SimulateScenarioKind.SIMULATE_NODE_FAILURE: lambda: lk_rtc.SimulateScenario(node_failure=True),
    SimulateScenarioKind.SIMULATE_SERVER_LEAVE: lambda: lk_rtc.SimulateScenario(server_leave=True),
    SimulateScenarioKind.SIMULATE_MIGRATION: lambda: lk_rtc.SimulateScenario(migration=True),
    SimulateScenarioKind.SIMULATE_FULL_RECONNECT: lambda: lk_rtc.SimulateScenario(
        leave_request_full_reconnect=True
    ),
}


def scenario_request(scenario: SimulateScenarioKind | int) -> lk_rtc.SimulateScenario:
    """Return what makes the server misbehave so."""
    make = _SCENARIOS.get(int(scenario))
    if make is None:
        raise NotImplementedError(f"scenario {SimulateScenarioKind.Name(int(scenario))}")
    return make()


def check_rtc_config(config: RtcConfiguration) -> None:
    """Refuse what would leave a caller with less privacy or reach than asked for."""
    if config.ice_transport_type != IceTransportType.TRANSPORT_ALL:
        raise NotImplementedError("restricting ICE candidates")
    if config.ice_servers:
        raise NotImplementedError("STUN and TURN servers")


def session_options(options: RoomOptions) -> SessionOptions:
    """Return how to join."""
    defaults = SessionOptions()
    return SessionOptions(
        auto_subscribe=options.auto_subscribe,
        dynacast=options.dynacast,
        signal_timeout_s=options.connect_timeout or defaults.signal_timeout_s,
    )
