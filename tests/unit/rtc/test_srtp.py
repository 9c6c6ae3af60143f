"""SRTP contexts: round trip, forgery, batches in place, and libsrtp's private names."""

from __future__ import annotations

import struct

import pytest
from pylibsrtp import _binding

from app.rtc import srtp
from app.rtc.srtp import (
    AEAD_AES_128_GCM,
    AES128_CM_SHA1_80,
    BatchProtector,
    PacketArea,
    SrtpKeys,
    SrtpProfile,
    SrtpReceiver,
    SrtpSender,
)


def keys_of(profile: SrtpProfile) -> tuple[SrtpKeys, SrtpKeys]:
    size = profile.key_bytes + profile.salt_bytes
    one, two = bytes(range(size)), bytes(range(100, 100 + size))
    return SrtpKeys(profile, one, two), SrtpKeys(profile, two, one)


def rtp(seq: int, payload: bytes, ssrc: int = 7) -> bytes:
    return struct.pack("!BBHII", 0x80, 96, seq, 1234, ssrc) + payload


RECEIVER_REPORT = struct.pack("!BBHI", 0x80, 201, 1, 7)


@pytest.mark.parametrize("profile", [AEAD_AES_128_GCM, AES128_CM_SHA1_80])
def test_what_one_side_protects_the_other_opens(profile: SrtpProfile) -> None:
    ours, theirs = keys_of(profile)
    sender, receiver = SrtpSender(ours), SrtpReceiver(theirs)

    sealed = sender.protect(rtp(1, b"hello"))

    assert len(sealed) == len(rtp(1, b"hello")) + profile.tag_bytes
    assert receiver.unprotect(sealed) == rtp(1, b"hello")
    assert receiver.unprotect_rtcp(sender.protect_rtcp(RECEIVER_REPORT)) == RECEIVER_REPORT


def test_a_changed_bit_and_a_short_packet_come_back_as_none() -> None:
    ours, theirs = keys_of(AEAD_AES_128_GCM)
    sealed = bytearray(SrtpSender(ours).protect(rtp(1, b"hello")))
    sealed[-1] ^= 1
    receiver = SrtpReceiver(theirs)
    assert receiver.unprotect(sealed) is None
    assert receiver.unprotect(b"\x80\x60") is None
    assert receiver.unprotect(bytes(3000)) is None
    assert receiver.unprotect_rtcp(b"\x80") is None


def test_a_packet_is_opened_where_it_lies() -> None:
    ours, theirs = keys_of(AEAD_AES_128_GCM)
    area = PacketArea(4096)
    sealed = SrtpSender(ours).protect(rtp(5, b"x" * 100))
    area.view[2048 : 2048 + len(sealed)] = sealed

    size = SrtpReceiver(theirs).unprotect_at(area, area.pointer(2048), len(sealed), rtcp=False)

    assert area.view[2048 : 2048 + size] == rtp(5, b"x" * 100)


def test_a_batch_is_protected_in_place_for_several_receivers() -> None:
    ours, theirs = keys_of(AEAD_AES_128_GCM)
    batch = BatchProtector()
    packets = [rtp(i, bytes([i]) * 52) for i in range(5)]
    stride = 64 + 16
    senders = [SrtpSender(ours), SrtpSender(ours), SrtpSender(ours)]
    block = b"".join(packet + bytes(16) for packet in packets)
    batch.view[: 3 * len(block)] = block * 3

    assert batch.protect(senders, stride, [64] * 5) is None

    for i in range(3):
        receiver = SrtpReceiver(theirs)
        for j, packet in enumerate(packets):
            at = (i * 5 + j) * stride
            assert receiver.unprotect(batch.view[at : at + stride]) == packet


def test_what_libsrtp_refuses_is_told_packet_by_packet() -> None:
    ours, _ = keys_of(AEAD_AES_128_GCM)
    batch = BatchProtector()
    good, bad = rtp(1, bytes(52)), b"\x8f" + rtp(2, bytes(52))[1:12] + bytes(52)
    batch.view[:160] = good + bytes(16) + bad + bytes(16)

    assert batch.protect([SrtpSender(ours)], 80, [64, 14]) not in (None, [0, 0])


def test_without_the_binding_sessions_do_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(srtp, "_lib", None)
    monkeypatch.setattr(srtp, "_ffi", None)
    test_what_one_side_protects_the_other_opens(AEAD_AES_128_GCM)
    test_a_changed_bit_and_a_short_packet_come_back_as_none()
    test_a_packet_is_opened_where_it_lies()
    test_a_batch_is_protected_in_place_for_several_receivers()
    test_what_libsrtp_refuses_is_told_packet_by_packet()


def test_the_private_names_that_we_use_exist() -> None:
    for name in ("srtp_protect", "srtp_protect_rtcp", "srtp_unprotect", "srtp_unprotect_rtcp"):
        assert callable(getattr(_binding.lib, name))
