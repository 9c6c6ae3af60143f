"""The HTTP side of the server: routes, CORS, and refusals as plain text.

`/rtc` and `/rtc/validate` answer a plain 404 (with CORS, or a browser would take it for an
unreachable server): older clients then know that there is only v1 here.
"""

from __future__ import annotations

import asyncio

from aiohttp import web
from aiohttp.typedefs import Handler

from app.runtime.tasks import TaskOwner
from app.server.agents.socket import AgentSocket
from app.server.api.absent_services import absent_services
from app.server.api.agent_dispatch import AgentDispatchService
from app.server.api.auth import HttpRefusal
from app.server.api.door import Door
from app.server.api.doorstep import Doorstep
from app.server.api.host_door import HostDoor
from app.server.api.room_service import RoomService
from app.server.api.signal_socket import SignalSocket
from app.server.api.twirp import Service, Twirp
from app.server.config import ServerConfig
from app.server.gate.gates import Gates
from app.server.room.rooms import Rooms
from app.server.tally import Tally

# An uncompressed join request carries an offer of 13 kB and more in the request line.
MAX_REQUEST_LINE_BYTES = 256 * 1024
# Half a megabyte of metadata, each character of it escaped in JSON.
MAX_BODY_BYTES = 4 * 1024 * 1024
# An address that was written with a slash at its end makes two of them.
_SLASH = "{extra:/?}"
DOORSTEP = web.AppKey("doorstep", Doorstep)
_CORS = {"Access-Control-Allow-Origin": "*", "Vary": "Origin"}
_PREFLIGHT = {
    **_CORS,
    "Access-Control-Allow-Headers": "*, Authorization",
    "Access-Control-Allow-Methods": "GET, POST, PATCH, OPTIONS",
    "Access-Control-Max-Age": "600",
}


@web.middleware
async def _answer(request: web.Request, handler: Handler) -> web.StreamResponse:
    response = await _answer_once(request, handler)
    # One request a connection: the doorstep's patience is for the first one.
    response.force_close()
    return response


async def _answer_once(request: web.Request, handler: Handler) -> web.StreamResponse:
    request.app[DOORSTEP].note_request(request.transport)
    if request.method == "OPTIONS":
        return web.Response(status=204, headers=_PREFLIGHT)
    try:
        if _is_socket(request) or request.path.lstrip("/").startswith("twirp/"):
            # Twirp bounds the reading itself: a call on a participant may take its time.
            response = await handler(request)
        else:
            async with asyncio.timeout(request.app[DOORSTEP].timeout_s):
                response = await handler(request)
    except TimeoutError:
        response = web.Response(status=408)
    except HttpRefusal as refusal:
        response = web.Response(status=refusal.status, text=refusal.text)
    except web.HTTPNotFound:
        response = web.Response(status=404, text="404 page not found\n")
    except web.HTTPException as error:
        response = web.Response(status=error.status, text=f"{error.status} {error.reason}\n")
    if not response.prepared:
        response.headers.update(_CORS)
    return response


def _is_socket(request: web.Request) -> bool:
    return request.headers.get("Upgrade", "").lower() == "websocket"


async def _not_here(_request: web.Request) -> web.Response:
    return web.Response(status=404)


def build_application(
    config: ServerConfig,
    rooms: Rooms,
    gates: Gates | None,
    tasks: TaskOwner,
    doorstep: Doorstep,
    agents: AgentSocket,
    tally: Tally,
) -> web.Application:
    """Return the routes; the door only where it is wanted."""
    application = web.Application(middlewares=[_answer], client_max_size=MAX_BODY_BYTES)
    application[DOORSTEP] = doorstep
    signal = SignalSocket(config, rooms, gates, tasks, tally)
    # Services of the server API by name; whoever builds another adds it here.
    services: dict[str, Service] = {
        **absent_services(),
        "AgentDispatchService": AgentDispatchService(rooms).methods,
        "RoomService": RoomService(config, rooms).methods,
    }
    twirp = Twirp(
        config.keys,
        services,
        read_timeout_s=doorstep.timeout_s,
        effective=gates.effective if gates is not None else lambda claims: claims,
        tally=tally,
    )
    routes = application.router

    async def root(_request: web.Request) -> web.Response:
        # 406 is what the reference says of a node that should get no more people.
        if rooms.is_stopping:
            return web.Response(status=406, text="Not Ready\n")
        return web.Response(text="OK")

    routes.add_route("*", "/", root)
    routes.add_get(f"/{_SLASH}rtc", _not_here)
    routes.add_get(f"/{_SLASH}rtc/validate", _not_here)
    routes.add_get(f"/{_SLASH}agent", agents.handle_socket)
    routes.add_get(f"/{_SLASH}rtc/v1", signal.handle_socket)
    routes.add_get(f"/{_SLASH}rtc/v1/validate", signal.handle_validate)
    routes.add_route("*", f"/{_SLASH}twirp/livekit.{{service}}/{{method:.*}}", twirp.handle)
    if gates is not None:
        door = Door(config, gates)
        routes.add_get("/lanai/v1/rooms/{room}", door.handle_room)
        routes.add_post("/lanai/v1/join", door.handle_join)
        routes.add_routes(HostDoor(config, gates, door.refusals).routes())
    return application
