"""Services of the server API that this server does not have: Egress, Ingress and SIP.

Who has the grant is told `unimplemented`, or that there are none; who has not is told nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from livekit.protocol import egress, ingress, sip

from app.protocol.token import Claims
from app.server.api.grants import (
    need_ingress_admin,
    need_room_admin,
    need_room_record,
    need_sip,
)
from app.server.api.twirp import Method, Service, TwirpError

Check = Callable[[Claims | None, Any], object]


def absent_services() -> dict[str, Service]:
    """Return the services by name."""
    return {
        "Egress": _service(egress, "Egress", lambda claims, _: need_room_record(claims)),
        "Ingress": _service(ingress, "Ingress", lambda claims, _: need_ingress_admin(claims)),
        "SIP": _service(
            sip,
            "SIP",
            lambda claims, _: need_sip(claims, "admin"),
            CreateSIPParticipant=lambda claims, _: need_sip(claims, "call"),
            TransferSIPParticipant=_need_transfer,
        ),
    }


def _need_transfer(claims: Claims | None, request: sip.TransferSIPParticipantRequest) -> None:
    """Handing a caller on takes them out of the room: that is also for its admins to say."""
    need_sip(claims, "call")
    need_room_admin(claims, request.room_name)


def _service(module: ModuleType, name: str, check: Check, **checks: Check) -> Service:
    """Take every method the protocol has; `checks` are of those with a grant of their own."""
    described = module.DESCRIPTOR.services_by_name[name]
    return {
        method.name: _method(name, method, checks.get(method.name, check))
        for method in described.methods
    }


def _method(service: str, described: Any, check: Check) -> Method:
    response: type[Message] = GetMessageClass(described.output_type)
    name = described.name

    async def answer(claims: Claims | None, request: Message) -> Message:
        check(claims, request)
        if name.startswith("List"):
            return response()
        raise TwirpError("unimplemented", f"{service} is not available on this server")

    return Method(GetMessageClass(described.input_type), answer)
