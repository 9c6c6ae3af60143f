"""Closing a data channel: each end resets its outgoing stream (RFC 6525, RFC 8831 §6.7).

One request at a time is under way in each direction. A peer that has not received everything
says "in progress", and the same request is repeated later.
"""

from __future__ import annotations

from app.rtc.sctp.wire import (
    U32,
    ResetRequest,
    ResetResponse,
    reset_request_chunk,
    reset_response_chunk,
    unwrapped,
)

NOTHING_TO_DO, PERFORMED, IN_PROGRESS = 0, 1, 6
BAD_NUMBER = 5
MAX_STREAMS_IN_REQUEST = 200
REPEAT_S = 0.5


class StreamResets:
    """Requests of both ends. Numbers begin at the initial TSNs (RFC 6525 §5.1)."""

    def __init__(self, local_tsn: int, remote_tsn: int) -> None:
        self.deadline_s: float | None = None
        self._next_number = local_tsn & U32
        self._expected = remote_tsn & U32
        self._last_result = NOTHING_TO_DO
        self._waiting: list[int] = []
        self._under_way: tuple[int, ...] = ()
        self._request = b""

    @property
    def has_request(self) -> bool:
        """Whether one can leave that has not yet."""
        return bool(self._waiting) and not self._under_way

    def request(self, stream_id: int) -> None:
        """Ask for a reset as soon as it may leave."""
        if stream_id not in self._waiting and stream_id not in self._under_way:
            self._waiting.append(stream_id)

    def write(self, last_tsn: int, now_s: float) -> bytes | None:
        """Return the request that has to leave now, if any."""
        if self._under_way:
            if self.deadline_s is None or now_s < self.deadline_s:
                return None
        elif self._waiting:
            chosen = tuple(self._waiting[:MAX_STREAMS_IN_REQUEST])
            del self._waiting[: len(chosen)]
            self._under_way = chosen
            self._request = reset_request_chunk(
                self._next_number, self._expected - 1, last_tsn, chosen
            )
        else:
            return None
        self.deadline_s = now_s + REPEAT_S
        return self._request

    def handle_response(self, response: ResetResponse) -> tuple[int, ...]:
        """Return our streams that the peer has reset."""
        if not self._under_way or response.number != self._next_number:
            return ()
        if response.result == IN_PROGRESS:
            return ()
        # Whatever else the peer says, it is of no use to ask again.
        done, self._under_way = self._under_way, ()
        self._next_number = (self._next_number + 1) & U32
        self.deadline_s = None
        return done

    def handle_request(
        self, request: ResetRequest, cumulative: int
    ) -> tuple[bytes, tuple[int, ...] | None]:
        """Return the answer, and the streams to reset; none named are all, None is no reset."""
        if request.number == (self._expected - 1) & U32:
            return reset_response_chunk(request.number, self._last_result), None
        if request.number != self._expected:
            return reset_response_chunk(request.number, BAD_NUMBER), None
        if unwrapped(request.last_tsn, cumulative) > cumulative:
            return reset_response_chunk(request.number, IN_PROGRESS), None
        self._expected = (self._expected + 1) & U32
        self._last_result = PERFORMED
        return reset_response_chunk(request.number, PERFORMED), request.streams
