"""Something that changes frames on their way through a stream."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Generic, TypeVar, Union

from app.engine.frames import AudioFrame, VideoFrame


@dataclass(frozen=True, slots=True)
class FrameContext:
    """Whose frames a processor gets, and how the room was joined."""

    room_name: str
    participant_identity: str
    publication_sid: str
    token: str = field(repr=False)
    url: str = field(repr=False)


T = TypeVar("T", bound=Union[AudioFrame, VideoFrame])  # noqa: UP007 - evaluated at runtime


class FrameProcessor(Generic[T], ABC):
    """Base class for filters; the underscored methods are what a filter implements."""

    @property
    @abstractmethod
    def enabled(self) -> bool:
        """Whether frames are processed."""

    @enabled.setter
    @abstractmethod
    def enabled(self, value: bool) -> None: ...

    def _on_stream_info_updated(
        self, *, room_name: str, participant_identity: str, publication_sid: str
    ) -> None:
        """Learn whose frames these are."""

    def _on_stream_info_cleared(self) -> None:
        """Forget whose frames these were."""

    def _on_credentials_updated(self, *, token: str, url: str) -> None:
        """Learn how the room was joined."""

    def _on_credentials_cleared(self) -> None:
        """Forget how the room was joined."""

    @abstractmethod
    def _process(self, frame: T) -> T:
        """Return the changed frame."""

    @abstractmethod
    def _close(self) -> None:
        """Release everything."""

    def tell(self, context: FrameContext | None) -> None:
        """Let a stream say whose frames follow; None when the track has left its room."""
        if context is None:
            self._on_stream_info_cleared()
            self._on_credentials_cleared()
            return
        self._on_stream_info_updated(
            room_name=context.room_name,
            participant_identity=context.participant_identity,
            publication_sid=context.publication_sid,
        )
        self._on_credentials_updated(token=context.token, url=context.url)

    def run(self, frame: T) -> T:
        """Let a stream process a frame."""
        return self._process(frame)

    def finish(self) -> None:
        """Let a stream close the filter."""
        self._close()
