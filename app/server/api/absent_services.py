"""Services of the server API that this server does not have: Egress, Ingress and SIP.

Who has the grant is told `unimplemented`, or that there are none; who has not is told nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from types import ModuleType
from typing import Any

from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from livekit.protocol import egress, ingress, sip

from app.protocol.token import Claims
from app.server.api.grants import need_ingress_admin, need_room_record, need_sip
from app.server.api.twirp import Method, Service, TwirpError

Check = Callable[[Claims | None], object]
_SIP_CALLS = ("CreateSIPParticipant", "TransferSIPParticipant")


def absent_services() -> dict[str, Service]:
    """Return the services by name."""
    return {
        "Egress": _service(egress, "Egress", lambda _: need_room_record),
        "Ingress": _service(ingress, "Ingress", lambda _: need_ingress_admin),
        "SIP": _service(sip, "SIP", _sip_check),
    }


def _sip_check(method: str) -> Check:
    return partial(need_sip, right="call" if method in _SIP_CALLS else "admin")


def _service(module: ModuleType, name: str, check_of: Callable[[str], Check]) -> Service:
    described = module.DESCRIPTOR.services_by_name[name]
    return {
        method.name: _method(name, method, check_of(method.name)) for method in described.methods
    }


def _method(service: str, described: Any, check: Check) -> Method:
    response: type[Message] = GetMessageClass(described.output_type)
    name = described.name

    async def answer(claims: Claims | None, _request: Message) -> Message:
        check(claims)
        if name.startswith("List"):
            return response()
        raise TwirpError("unimplemented", f"{service} is not available on this server")

    return Method(GetMessageClass(described.input_type), answer)
