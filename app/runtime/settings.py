"""What a person chose, in `settings.toml`, and where they were, in `recents.json`.

Both files belong to the person: an unknown key is kept on saving, a value of the wrong type
falls back to its default, and an unreadable file is set aside rather than overwritten.
"""

from __future__ import annotations

import json
import os
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path

import structlog

from app.runtime.paths import Paths
from app.runtime.saver import Save, save_now

log = structlog.get_logger(__name__)

_MAX_RECENTS = 20


@dataclass(frozen=True, slots=True)
class Settings:
    """One snapshot of every choice; empty device ids mean the system's default.

    `theme` is "system", "dark" or "light". `host_port` and `host_rtc_port` are where hosting
    starts to look for a free pair. `ask_before_accepting` holds every file back until this
    person takes it; `max_receive_mb` (powers of ten) bounds one drop.
    """

    name: str = ""
    theme: str = "system"
    microphone_id: str = ""
    speaker_id: str = ""
    camera_id: str = ""
    mic_on_at_join: bool = True
    camera_on_at_join: bool = True
    mirror_self_view: bool = True
    echo_cancellation: bool = True
    noise_suppression: bool = True
    gain_control: bool = False
    downloads_folder: str = ""
    ask_before_accepting: bool = False
    max_receive_mb: int = 5000
    host_port: int = 7880
    host_rtc_port: int = 7882
    host_on_network: bool = True
    typing_notices: bool = True
    show_captions: bool = False

    @property
    def downloads(self) -> Path:
        """Where received files go."""
        if self.downloads_folder:
            return Path(self.downloads_folder).expanduser()
        return Paths.default().downloads


class SettingsStore:
    """The settings file; belongs to the thread that made it (the Qt thread)."""

    def __init__(self, paths: Paths, save: Save = save_now) -> None:
        self.paths = paths
        self._save = save
        self._unknown: dict[str, object] = {}
        self.current = self._load()

    def update(self, **changes: str | bool | int) -> Settings:
        """Apply `changes` and save; an unwritable disk is logged, the choice still counts."""
        self.current = replace(self.current, **changes)  # type: ignore[arg-type]  # names and types are the caller's
        self._save(self.paths.settings_file, self._to_toml().encode())
        return self.current

    def _load(self) -> Settings:
        try:
            raw = tomllib.loads(self.paths.settings_file.read_text("utf-8"))
        except FileNotFoundError:
            return Settings()
        except (OSError, ValueError) as error:
            log.warning("settings unreadable", error=type(error).__name__)
            _set_aside(self.paths.settings_file)
            return Settings()
        defaults = asdict(Settings())
        known = {k: v for k, v in raw.items() if k in defaults and type(v) is type(defaults[k])}
        self._unknown = {k: v for k, v in raw.items() if k not in defaults}
        return Settings(**known)

    def _to_toml(self) -> str:
        defaults = asdict(Settings())
        chosen = {k: v for k, v in asdict(self.current).items() if v != defaults[k]}
        plain = {k: v for k, v in self._unknown.items() if isinstance(v, str | bool | int | float)}
        return "".join(
            f"{key} = {_toml_value(value)}\n" for key, value in {**plain, **chosen}.items()
        )


@dataclass(frozen=True, slots=True)
class Recent:
    """A meeting somebody was in. No invitation and no token is kept, the address alone."""

    room: str
    address: str
    at_ms: int
    host_name: str = ""
    hosted_here: bool = False
    secure: bool = False
    people: int = 0


@dataclass(slots=True)
class Recents:
    """The last meetings, newest first, at most twenty."""

    path: Path
    items: list[Recent] = field(default_factory=list)
    save: Save = save_now

    @classmethod
    def load(cls, path: Path, save: Save = save_now) -> Recents:
        """Read the file; what cannot be read is forgotten."""
        try:
            raw = json.loads(path.read_text("utf-8"))
        except FileNotFoundError:
            return cls(path, save=save)
        except (OSError, ValueError) as error:
            log.warning("recents unreadable", error=type(error).__name__)
            return cls(path, save=save)
        entries = raw if isinstance(raw, list) else []
        items = [item for item in map(_recent_from, entries) if item is not None]
        return cls(path, items[:_MAX_RECENTS], save)

    def add(self, recent: Recent) -> None:
        """Put `recent` first; an older entry for the same meeting goes."""
        same = (recent.room, recent.address)
        rest = [item for item in self.items if (item.room, item.address) != same]
        self.items = [recent, *rest][:_MAX_RECENTS]
        self._save()

    def clear(self) -> None:
        """Forget every meeting."""
        self.items = []
        self._save()

    def _save(self) -> None:
        data = json.dumps([asdict(item) for item in self.items], indent=1).encode()
        self.save(self.path, data)


def _recent_from(raw: object) -> Recent | None:
    if not isinstance(raw, Mapping):
        return None
    types = {f.name: str(f.type) for f in fields(Recent)}
    known = {k: v for k, v in raw.items() if k in types and type(v).__name__ == types[k]}
    if not {"room", "address", "at_ms"} <= known.keys():
        return None
    return Recent(**known)


def _set_aside(path: Path) -> None:
    try:
        os.replace(path, path.with_suffix(".broken"))
    except OSError as error:
        log.warning("settings not set aside", error=type(error).__name__)


def _toml_value(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    # A JSON string without \/ and with every control character escaped is a TOML basic string;
    # DEL is the one that JSON leaves alone and TOML forbids.
    return json.dumps(str(value), ensure_ascii=False).replace("\x7f", "\\u007f")
