"""DTLS over a wire that is two callables: `send` out, `feed` in.

aiortc's `RTCDtlsTransport` does the handshake and the records. Of its ICE object it needs
`role`, `_recv` and `_send`; `_Wire` is that object. Media never passes here: whoever owns the
socket tells DTLS from SRTP by the first byte and keeps the keys that `srtp_keys` hands out.

Once connected, `feed` hands what is in a record to SCTP at once, without a queue or a task
switch, and `send_data` encrypts what SCTP says in one go and hands over all the records behind one
another (`send_burst`): where the kernel cuts datagrams itself, that is one system call.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Literal

import structlog
from aiortc.rtcdtlstransport import (
    SRTP_AEAD_AES_128_GCM,
    SRTP_AES128_CM_SHA1_80,
    X509_DIGEST_ALGORITHMS,
    RTCCertificate,
    RTCDtlsFingerprint,
    RTCDtlsParameters,
    RTCDtlsTransport,
    State,
)
from OpenSSL import SSL
from OpenSSL._util import ffi, lib

from app.protocol.errors import ProtocolError
from app.rtc.srtp import AEAD_AES_128_GCM, AES128_CM_SHA1_80, SrtpKeys
from app.runtime.errors import Reason, WorldError

log = structlog.get_logger(__name__)

Certificate = RTCCertificate

HANDSHAKE_TIMEOUT_S = 15.0

# GCM first: libsrtp has it in hardware, the official SDKs and Chromium take it.
_PROFILES = [
    (SRTP_AEAD_AES_128_GCM, AEAD_AES_128_GCM),
    (SRTP_AES128_CM_SHA1_80, AES128_CM_SHA1_80),
]

# A record must not be able to grow the queue of a handshake without end.
_WIRE_CAPACITY = 64
_EARLY_CAPACITY = 16
_APPLICATION_DATA = 23
_RECORD_HEADER_BYTES = 13
_MAX_RECORD_BYTES = 2_048

# pyOpenSSL's `send`, `recv` and `bio_write` cost as much again as what they call, which is a fifth
# of a packet of data.
_ssl_write, _ssl_read, _bio_write, _buffer = lib.SSL_write, lib.SSL_read, lib.BIO_write, ffi.buffer


def new_certificate() -> Certificate:
    """Make a self-signed certificate; one per process or room is enough."""
    return RTCCertificate.generateCertificate()


def certificate_fingerprint(certificate: Certificate) -> str:
    """Return the SHA-256 fingerprint as SDP writes it."""
    for fingerprint in certificate.getFingerprints():
        if fingerprint.algorithm == "sha-256":
            return str(fingerprint.value)
    raise AssertionError("aiortc offers no SHA-256 fingerprint")


def run_now(coro: Coroutine[Any, Any, Any]) -> None:
    """Run a coroutine that never waits, here and now."""
    try:
        coro.send(None)
    except StopIteration:
        return
    coro.close()
    raise RuntimeError("a coroutine on the packet path waited")


class _Wire:
    """The part of an ICE transport that DTLS uses, with callables behind it."""

    def __init__(self, role: str, send: Callable[[bytes], None]) -> None:
        self.role = role
        self.send = send
        self._waiting: deque[bytes] = deque(maxlen=_WIRE_CAPACITY)
        self._reader: asyncio.Future[None] | None = None
        self._closed = False

    @property
    def is_empty(self) -> bool:
        return not self._waiting

    def put(self, datagram: bytes) -> None:
        self._waiting.append(datagram)
        self._wake()

    def close(self) -> None:
        self._closed = True
        self._wake()

    def _wake(self) -> None:
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)

    async def _recv(self) -> bytes:
        while not self._waiting:
            if self._closed:
                raise ConnectionError("closed")
            self._reader = asyncio.get_running_loop().create_future()
            try:
                await self._reader
            finally:
                self._reader = None
        return self._waiting.popleft()

    async def _send(self, data: bytes) -> None:
        self.send(data)


class _Sink:
    """Where data goes. It keeps what the peer's SCTP says before ours listens: its INIT."""

    def __init__(self) -> None:
        self.early: deque[bytes] = deque(maxlen=_EARLY_CAPACITY)
        self.receive: Callable[[bytes], None] = self.early.append

    async def _handle_data(self, data: bytes) -> None:
        self.receive(data)


class _Dtls(RTCDtlsTransport):
    """aiortc's transport with our keys instead of its sessions, and a direct way in."""

    def __init__(self, wire: _Wire, certificate: Certificate, role: str) -> None:
        super().__init__(wire, [certificate])  # type: ignore[arg-type]  # a façade, see the module
        self._set_role(role)
        self._srtp_profiles = [profile for profile, _ in _PROFILES]
        self.keys: SrtpKeys | None = None
        # Also what comes in one go with the end of the handshake finds it: aiortc drops that.
        self.sink = _Sink()
        self._data_receiver = self.sink
        self._plain = ffi.new("char[]", _MAX_RECORD_BYTES)

    def _setup_srtp(self) -> None:
        assert self._ssl is not None
        chosen = self._ssl.get_selected_srtp_profile()
        for theirs, ours in _PROFILES:
            if theirs.openssl_profile != chosen:
                continue
            material = self._ssl.export_keying_material(
                b"EXTRACTOR-dtls_srtp", 2 * (theirs.key_length + theirs.salt_length)
            )
            client = theirs.get_key_and_salt(material, 0)
            server = theirs.get_key_and_salt(material, 1)
            is_server = self._role == "server"
            self.keys = SrtpKeys(
                ours,
                tx_key=server if is_server else client,
                rx_key=client if is_server else server,
            )
            return
        self._set_state(State.FAILED)

    def send_data(self, packets: Sequence[bytes]) -> tuple[bytes, list[int]]:
        """Return the records of these packets, one behind the other, and their sizes. Hot path."""
        ssl = self._ssl
        # To SCTP's timers a closed transport is a lossy one.
        if self._state != State.CONNECTED or ssl is None:
            return b"", []
        try:
            handle = ssl._ssl
            for packet in packets:
                if (done := _ssl_write(handle, packet, len(packet))) <= 0:
                    ssl._raise_ssl_error(handle, done)
            records = ssl.bio_read(_MAX_RECORD_BYTES * len(packets))
        except SSL.Error as error:
            log.debug("data written behind the goodbye", error=type(error).__name__)
            return b"", []
        return records, record_sizes(records)

    def handle(self, datagram: bytes) -> bool:
        """Take one datagram after the handshake; False when the peer said goodbye. Hot path."""
        ssl = self._ssl
        assert ssl is not None
        _bio_write(ssl._into_ssl, datagram, len(datagram))
        # Nearly every datagram is one record of data; then there is nothing more to ask for.
        is_single = (
            datagram[0] == _APPLICATION_DATA
            and len(datagram) > _RECORD_HEADER_BYTES
            and int.from_bytes(datagram[11:13], "big") == len(datagram) - _RECORD_HEADER_BYTES
        )
        try:
            self._read(ssl)
            while not is_single:
                self._read(ssl)
        except SSL.ZeroReturnError:
            return False
        except SSL.Error:
            run_now(self._write_ssl())
        return True

    def _read(self, ssl: SSL.Connection) -> None:
        size = _ssl_read(ssl._ssl, self._plain, _MAX_RECORD_BYTES)
        if size <= 0:
            ssl._raise_ssl_error(ssl._ssl, size)
        self.sink.receive(_buffer(self._plain, size)[:])


def record_sizes(records: bytes) -> list[int]:
    """Cut a run of DTLS 1.2 records by their headers (RFC 6347 §4.1)."""
    sizes: list[int] = []
    at, end = 0, len(records)
    while at + _RECORD_HEADER_BYTES <= end:
        size = _RECORD_HEADER_BYTES + int.from_bytes(records[at + 11 : at + 13], "big")
        sizes.append(size)
        at += size
    return sizes


class DtlsEndpoint:
    """One side of one DTLS association. Lives on the loop that made it."""

    def __init__(
        self,
        certificate: Certificate,
        *,
        role: Literal["server", "client"],
        send: Callable[[bytes], None],
        send_burst: Callable[[bytes, Sequence[int]], None] | None = None,
    ) -> None:
        self.role = role
        self.local_fingerprint = certificate_fingerprint(certificate)
        self.on_closed: Callable[[], None] | None = None
        self._send_burst = send_burst
        self._wire = _Wire("controlled" if role == "server" else "controlling", send)
        self.transport = _Dtls(self._wire, certificate, role)
        self.transport.on("statechange", self._on_state)
        self._is_over = False

    @property
    def is_connected(self) -> bool:
        """Whether the handshake is done and nobody has closed."""
        return bool(self.transport._state == State.CONNECTED)

    def feed(self, datagram: bytes) -> None:
        """Take one DTLS datagram from the wire. Never raises."""
        if self._is_over:
            return
        if not (self.is_connected and self._wire.is_empty):
            self._wire.put(datagram)
            return
        if not self.transport.handle(datagram):
            self._wire.close()

    def receive_with(self, receive: Callable[[bytes], None]) -> None:
        """Hand over every packet of data, those that came before included; it must not raise."""
        sink = self.transport.sink
        early, sink.receive = sink.early, receive
        while early:
            receive(early.popleft())

    def send_data(self, packets: Sequence[bytes]) -> None:
        """Encrypt and send packets of data; before and behind the connection they are lost."""
        records, sizes = self.transport.send_data(packets)
        if not sizes:
            return
        if self._send_burst is not None:
            self._send_burst(records, sizes)
            return
        at = 0
        for size in sizes:
            self._wire.send(records[at : at + size])
            at += size

    async def handshake(
        self,
        remote_fingerprints: Sequence[tuple[str, str]],
        *,
        timeout_s: float = HANDSHAKE_TIMEOUT_S,
    ) -> None:
        """Shake hands and check the peer's certificate.

        WorldError TIMEOUT when the peer stays silent, REFUSED when it breaks off;
        ProtocolError when its fingerprint is missing or another's.
        """
        fingerprints = [
            RTCDtlsFingerprint(algorithm=algorithm, value=value)
            for algorithm, value in remote_fingerprints
        ]
        if not any(f.algorithm.lower() in X509_DIGEST_ALGORITHMS for f in fingerprints):
            raise ProtocolError("no usable DTLS fingerprint")
        inner = self.transport
        try:
            async with asyncio.timeout(timeout_s):
                await inner.start(RTCDtlsParameters(fingerprints=fingerprints, role="auto"))
        except TimeoutError as error:
            raise WorldError(Reason.TIMEOUT, retry=True, detail="DTLS handshake") from error
        if inner._state != State.CONNECTED:
            if inner.encrypted and inner.keys is None:
                raise ProtocolError("DTLS fingerprint or SRTP profile mismatch")
            raise WorldError(Reason.REFUSED, detail="DTLS handshake failed")

    def srtp_keys(self) -> SrtpKeys:
        """Return the keys that the handshake produced."""
        keys = self.transport.keys
        if keys is None:
            raise RuntimeError("srtp_keys before the handshake")
        return keys

    async def close(self) -> None:
        """Say goodbye if there is somebody to say it to, and stop. Idempotent."""
        if self._is_over:
            return
        self._is_over = True
        self._wire.close()
        await self.transport.stop()

    def _on_state(self) -> None:
        is_closed = self.transport._state == State.CLOSED and not self._is_over
        if is_closed and self.on_closed is not None:
            self.on_closed()
