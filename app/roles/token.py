"""`token`: print an access token, and nothing else, on stdout."""

from __future__ import annotations

import argparse
import os
import sys
import time

from app.protocol.token import DEFAULT_TTL_S, VideoGrant, issue_token
from app.roles.keys import NoKeyError, find_keys


def _own_keys() -> dict[str, str]:
    from app.host.keys import load_or_make_keys
    from app.runtime.paths import Paths

    own = load_or_make_keys(Paths.default())
    return {own.api_key: own.api_secret}


def main(argv: list[str]) -> int:
    """Print the token; 2 when no key is known."""
    parser = argparse.ArgumentParser(
        prog="main.py token",
        description="Print an access token for a room. Keys come from the flags, from "
        "LIVEKIT_API_KEY with LIVEKIT_API_SECRET or LANAI_API_SECRET, from LIVEKIT_KEYS, --hosted, "
        "or --dev.",
    )
    parser.add_argument("--room", required=True, help="name of the room")
    parser.add_argument("--identity", required=True, help="unique in the room")
    parser.add_argument("--name", default="", help="shown to people")
    parser.add_argument("--admin", action="store_true", help="may also end the room and moderate")
    parser.add_argument("--ttl", type=float, default=DEFAULT_TTL_S, help="lifetime in seconds")
    parser.add_argument("--api-key", default="")
    parser.add_argument("--api-secret", default="")
    parser.add_argument(
        "--hosted", action="store_true", help="use the key of what the app hosts on this computer"
    )
    parser.add_argument("--dev", action="store_true", help="use the development key")
    options = parser.parse_args(argv)
    try:
        keys = (
            _own_keys()
            if options.hosted and not options.api_key
            else find_keys(
                api_key=options.api_key,
                api_secret=options.api_secret,
                dev=options.dev,
                environment=os.environ,
            )
        )
    except NoKeyError as problem:
        print(f"token: {problem}", file=sys.stderr)
        return 2
    api_key, api_secret = next(iter(keys.items()))
    print(
        issue_token(
            api_key=api_key,
            api_secret=api_secret,
            identity=options.identity,
            name=options.name,
            now_s=time.time(),
            ttl_s=options.ttl,
            grant=VideoGrant(
                room_join=True,
                room=options.room,
                room_admin=options.admin,
                room_create=options.admin,
                can_update_own_metadata=True,
            ),
        )
    )
    return 0
