"""Where `serve` and `token` find API keys: flags first, then the environment, then `--dev`.

`LIVEKIT_KEYS` holds `key: secret` pairs on lines or between commas, as LiveKit's server reads
it; `LIVEKIT_API_KEY` with `LIVEKIT_API_SECRET` or `LANAI_API_SECRET` names one pair.
"""

from __future__ import annotations

from collections.abc import Mapping

DEV_KEY = "devkey"
# Known to everybody, hence for loopback only.
DEV_SECRET = "lanai-development-secret-32-byte"
MIN_SECRET_CHARS = 32


class NoKeyError(Exception):
    """No usable key; the message is the line that a person sees."""


def parse_key_pairs(text: str) -> dict[str, str]:
    """Read `LIVEKIT_KEYS`; a line that is no pair raises `NoKeyError`."""
    pairs: dict[str, str] = {}
    for line in text.replace(",", "\n").splitlines():
        if not line.strip():
            continue
        key, colon, secret = line.partition(":")
        if not colon or not key.strip() or not secret.strip():
            raise NoKeyError("LIVEKIT_KEYS is not a list of 'key: secret'")
        pairs[key.strip()] = secret.strip()
    return pairs


def find_keys(
    *,
    api_key: str,
    api_secret: str,
    dev: bool,
    environment: Mapping[str, str],
    pairs: Mapping[str, str] | None = None,
    fallback: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """Return key pairs, the one to sign with first; `NoKeyError` when there is none.

    `pairs` (a flag's) stand in for `LIVEKIT_KEYS`; `fallback` (a file's) come in where neither
    flags nor the environment name any.
    """
    key = api_key or environment.get("LIVEKIT_API_KEY", "")
    secret = (
        api_secret
        or environment.get("LANAI_API_SECRET", "")
        or environment.get("LIVEKIT_API_SECRET", "")
    )
    pairs = dict(pairs or {}) or parse_key_pairs(environment.get("LIVEKIT_KEYS", ""))
    if not pairs and not secret:
        pairs = dict(fallback or {})
    if key and not secret:
        secret = pairs.get(key, "")
    if secret and not key:
        raise NoKeyError("there is an API secret, but no API key (--api-key or LIVEKIT_API_KEY)")
    if key and not secret:
        raise NoKeyError("there is an API key, but no secret (--api-secret or LANAI_API_SECRET)")
    found = {key: secret} if key else {}
    found.update({k: s for k, s in pairs.items() if k not in found})
    if not found and dev:
        found = {DEV_KEY: DEV_SECRET}
    if not found:
        raise NoKeyError(
            "no API key: give --api-key and --api-secret, or --config with a file that has keys, "
            "set LIVEKIT_KEYS, or use --dev; for what the app hosts here, `token` takes --hosted"
        )
    return found
