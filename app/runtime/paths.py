"""Where Lanai keeps its files: configuration, logs and traces, downloads."""

from __future__ import annotations

import contextlib
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

import platformdirs


@dataclass(frozen=True, slots=True)
class Paths:
    """The three folders of one installation; nothing is created before it is written to."""

    config: Path
    logs: Path
    downloads: Path

    @classmethod
    def default(cls) -> Paths:
        """The platform's places, or everything under `LANAI_HOME` when that is set."""
        home = os.environ.get("LANAI_HOME", "")
        if home:
            return cls.under(Path(home))
        return cls(
            config=platformdirs.user_config_path("lanai", appauthor=False),
            logs=platformdirs.user_log_path("lanai", appauthor=False),
            downloads=platformdirs.user_downloads_path() / "Lanai",
        )

    @classmethod
    def under(cls, folder: Path) -> Paths:
        """Everything inside one folder: the demo and the tests use this."""
        return cls(folder / "config", folder / "logs", folder / "downloads")

    @property
    def settings_file(self) -> Path:
        """`settings.toml`."""
        return self.config / "settings.toml"

    @property
    def recents_file(self) -> Path:
        """`recents.json`."""
        return self.config / "recents.json"


def write_atomically(path: Path, data: bytes, *, mode: int = 0o644) -> None:
    """Replace `path` by `data`: a crash leaves the old file or the new one, never half of one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(prefix=path.name, suffix=".part", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        # mkstemp makes the file 0600, so a secret is never readable in between.
        os.chmod(temporary, mode)
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise
