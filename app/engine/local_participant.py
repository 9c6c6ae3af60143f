"""Oneself in the room: publish, send, say who one is."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import TypeVar, overload

from livekit.protocol import models as lk
from livekit.protocol import rtc as lk_rtc

from app.engine import stream_sending
from app.engine.data_track import LocalDataTrack, PublishDataTrackError
from app.engine.enums import TrackSource, VideoCodec
from app.engine.layers import choose_layers
from app.engine.options import ParticipantTrackPermission, TrackPublishOptions
from app.engine.participant import Participant
from app.engine.publication import LocalTrackPublication
from app.engine.rpc import RpcCallInfo, RpcDesk, RpcHandler, RpcInterceptor
from app.engine.session import AudioRtpSender, Session, VideoRtpSender
from app.engine.streams import (
    ByteStreamInfo,
    ByteStreamWriter,
    TextStreamInfo,
    TextStreamWriter,
)
from app.engine.track import LocalAudioTrack, LocalTrack, LocalVideoTrack
from app.engine.transcription import Transcription
from app.engine.uplink import AudioUplink, VideoUplink
from app.protocol.data_packet import PacketTooLargeError
from app.protocol.streams.negotiation import PLAIN, StreamForm
from app.protocol.streams.splitter import TextFacts
from app.runtime.errors import Reason, WorldError

MONO_BITRATE_BPS = 32_000
STEREO_BITRATE_BPS = 64_000

_ANSWERS = ("rpc_ack", "rpc_response")
_CODECS = {VideoCodec.VP8: "VP8", VideoCodec.H264: "H264"}

F = TypeVar("F", bound=RpcHandler)


class PublishTrackError(Exception):
    """A track could not be published."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class UnpublishTrackError(Exception):
    """A track could not be unpublished."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class PublishDataError(Exception):
    """A data packet could not be sent."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class PublishDTMFError(Exception):
    """A tone could not be sent."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class PublishTranscriptionError(Exception):
    """A caption could not be sent."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class LocalParticipant(Participant):
    """Oneself."""

    def __init__(
        self,
        room_queue: Session,
        owned_info: lk.ParticipantInfo,
        *,
        rpc: RpcDesk,
        emit: Callable[..., None],
        form_of: Callable[[Collection[str]], StreamForm] = lambda _destinations: PLAIN,
    ) -> None:
        super().__init__(owned_info)
        self._form_of = form_of
        self._session = room_queue
        self._rpc = rpc
        self._emit = emit
        self._track_publications: dict[str, LocalTrackPublication] = {}
        self._is_released = False

    @property
    def track_publications(self) -> Mapping[str, LocalTrackPublication]:
        """Publications by sid."""
        return self._track_publications

    # Data

    @property
    def may_publish_data(self) -> bool:
        """Whether the server passes our data on; what it has not said is allowed."""
        return not self._info.HasField("permission") or self._info.permission.can_publish_data

    async def send_packet(self, packet: lk.DataPacket, *, reliable: bool = True) -> None:
        """Send one packet; raises `WorldError` or `PacketTooLargeError`.

        Without the permission the server would drop it without a word. It takes answers to its
        own calls all the same.
        """
        if not self.may_publish_data and packet.WhichOneof("value") not in _ANSWERS:
            raise WorldError(Reason.DENIED, detail="no permission to publish data")
        await self._session.send_data(packet, reliable=reliable)

    async def publish_data(
        self,
        payload: bytes | str,
        *,
        reliable: bool = True,
        destination_identities: list[str] = [],  # noqa: B006 - the SDK's signature; never changed
        topic: str = "",
    ) -> None:
        """Send bytes to everybody, or to those named."""
        data = payload.encode() if isinstance(payload, str) else bytes(payload)
        packet = lk.DataPacket(
            user=lk.UserPacket(payload=data, topic=topic),
            participant_identity=self.identity,
            destination_identities=destination_identities,
        )
        try:
            await self.send_packet(packet, reliable=reliable)
        except (WorldError, PacketTooLargeError) as error:
            raise PublishDataError(str(error)) from error

    async def publish_dtmf(self, *, code: int, digit: str) -> None:
        """Send a telephone tone."""
        packet = lk.DataPacket(
            sip_dtmf=lk.SipDTMF(code=code, digit=digit), participant_identity=self.identity
        )
        try:
            await self.send_packet(packet)
        except WorldError as error:
            raise PublishDTMFError(str(error)) from error

    async def publish_transcription(self, transcription: Transcription) -> None:
        """Send captions."""
        segments = [
            lk.TranscriptionSegment(
                id=segment.id,
                text=segment.text,
                start_time=segment.start_time,
                end_time=segment.end_time,
                final=segment.final,
                language=segment.language,
            )
            for segment in transcription.segments
        ]
        packet = lk.DataPacket(
            transcription=lk.Transcription(
                transcribed_participant_identity=transcription.participant_identity,
                track_id=transcription.track_sid,
                segments=segments,
            ),
            participant_identity=self.identity,
        )
        try:
            await self.send_packet(packet)
        except (WorldError, PacketTooLargeError) as error:
            raise PublishTranscriptionError(str(error)) from error

    # Calls

    async def perform_rpc(
        self,
        *,
        destination_identity: str,
        method: str,
        payload: str,
        response_timeout: float | None = None,
        max_round_trip_latency: float | None = None,
    ) -> str:
        """Call a method of another participant; raises `RpcError`."""
        return await self._rpc.call(
            RpcCallInfo(
                destination_identity=destination_identity,
                method=method,
                payload=payload,
                response_timeout=response_timeout,
                max_round_trip_latency=max_round_trip_latency,
            )
        )

    def add_rpc_interceptor(self, interceptor: RpcInterceptor) -> None:
        """Wrap every call in either direction."""
        self._rpc.add_interceptor(interceptor)

    def remove_rpc_interceptor(self, interceptor: RpcInterceptor) -> None:
        """Stop wrapping calls."""
        self._rpc.remove_interceptor(interceptor)

    @overload
    def register_rpc_method(self, method_name: str, handler: F) -> F: ...
    @overload
    def register_rpc_method(self, method_name: str, handler: None = None) -> Callable[[F], F]: ...
    def register_rpc_method(
        self, method_name: str, handler: F | None = None
    ) -> F | Callable[[F], F]:
        """Answer calls of a method, or return a decorator for the handler."""

        def register(function: F) -> F:
            self._rpc.register(method_name, function)
            return function

        return register if handler is None else register(handler)

    def unregister_rpc_method(self, method: str) -> None:
        """Stop answering calls of a method."""
        self._rpc.unregister(method)

    # Who may subscribe, who one is

    def set_track_subscription_permissions(
        self,
        *,
        allow_all_participants: bool,
        participant_permissions: list[ParticipantTrackPermission] | None = None,
    ) -> None:
        """Say who may subscribe to one's tracks."""
        self._session.set_subscription_permission(
            lk_rtc.SubscriptionPermission(
                all_participants=allow_all_participants,
                track_permissions=[
                    lk_rtc.TrackPermission(
                        participant_identity=each.participant_identity,
                        all_tracks=each.allow_all,
                        track_sids=each.allowed_track_sids,
                    )
                    for each in participant_permissions or []
                ],
            )
        )

    async def set_metadata(self, metadata: str) -> None:
        """Change one's metadata; raises `WorldError` when the server refuses."""
        await self._session.update_metadata(metadata=metadata)

    async def set_name(self, name: str) -> None:
        """Change one's name; raises `WorldError` when the server refuses."""
        await self._session.update_metadata(name=name)

    async def set_attributes(self, attributes: dict[str, str]) -> None:
        """Change some of one's attributes; an empty value deletes one."""
        await self._session.update_metadata(attributes=attributes)

    # Streams

    async def stream_text(
        self,
        *,
        destination_identities: list[str] | None = None,
        topic: str = "",
        attributes: dict[str, str] | None = None,
        stream_id: str | None = None,
        reply_to_id: str | None = None,
        total_size: int | None = None,
        sender_identity: str | None = None,
    ) -> TextStreamWriter:
        """Open a text to be written piece by piece."""
        writer = TextStreamWriter(
            self,
            topic=topic,
            attributes=attributes,
            stream_id=stream_id,
            total_size=total_size,
            reply_to_id=reply_to_id,
            destination_identities=destination_identities,
            sender_identity=sender_identity,
        )
        await writer.send_header()
        return writer

    async def send_text(
        self,
        text: str,
        *,
        destination_identities: list[str] | None = None,
        topic: str = "",
        attributes: dict[str, str] | None = None,
        reply_to_id: str | None = None,
        compress: bool = True,
    ) -> TextStreamInfo:
        """Send a whole text, in the shortest form that its recipients read."""
        return await stream_sending.send_text(
            self,
            text,
            topic=topic,
            attributes=attributes,
            destinations=destination_identities or (),
            facts=TextFacts(reply_to_stream_id=reply_to_id or ""),
            compress=compress,
        )

    async def stream_bytes(
        self,
        name: str,
        *,
        total_size: int | None = None,
        mime_type: str = "application/octet-stream",
        attributes: dict[str, str] | None = None,
        stream_id: str | None = None,
        destination_identities: list[str] | None = None,
        topic: str = "",
    ) -> ByteStreamWriter:
        """Open a stream of bytes to be written piece by piece."""
        writer = ByteStreamWriter(
            self,
            name=name,
            topic=topic,
            attributes=attributes,
            stream_id=stream_id,
            total_size=total_size,
            mime_type=mime_type,
            destination_identities=destination_identities,
        )
        await writer.send_header()
        return writer

    async def send_file(
        self,
        file_path: str,
        *,
        topic: str = "",
        destination_identities: list[str] | None = None,
        attributes: dict[str, str] | None = None,
        stream_id: str | None = None,
        compress: bool = True,
    ) -> ByteStreamInfo:
        """Send a file. One that shrinks or vanishes meanwhile breaks the stream off."""
        return await stream_sending.send_file(
            self,
            Path(file_path),
            topic=topic,
            attributes=attributes,
            destinations=destination_identities or (),
            stream_id=stream_id,
            compress=compress,
        )

    async def send_bytes(
        self,
        data: bytes,
        *,
        topic: str = "",
        name: str | None = None,
        mime_type: str | None = None,
        destination_identities: list[str] | None = None,
        attributes: dict[str, str] | None = None,
        stream_id: str | None = None,
        compress: bool = True,
    ) -> ByteStreamInfo:
        """Send bytes as a whole, in the shortest form that their recipients read."""
        return await stream_sending.send_bytes(
            self,
            data,
            name=name or "unknown",
            topic=topic,
            mime_type=mime_type or "application/octet-stream",
            attributes=attributes,
            destinations=destination_identities or (),
            stream_id=stream_id,
            compress=compress,
        )

    def stream_form(self, destinations: Collection[str]) -> StreamForm:
        """Say which form of a stream everybody among `destinations` (none: all) reads."""
        return self._form_of(destinations)

    async def publish_data_track(self, *, name: str) -> LocalDataTrack:
        """Publish a data track; raises `PublishDataTrackError`."""
        try:
            return await self._session.publish_data_track(name)
        except WorldError as error:
            raise PublishDataTrackError(str(error)) from error

    # Tracks

    async def publish_track(
        self,
        track: LocalTrack,
        options: TrackPublishOptions = TrackPublishOptions(),  # noqa: B008 - the SDK's signature; never changed
    ) -> LocalTrackPublication:
        """Publish a track; returns when it can be sent."""
        try:
            if isinstance(track, LocalAudioTrack):
                info = await self._publish_audio(track, options)
            else:
                info = await self._publish_video(track, options)
        except WorldError as error:
            raise PublishTrackError(str(error)) from error
        if self._is_released:
            # The room was left between the server's answer and this line.
            track.attach_uplink(None)
            raise PublishTrackError("the room was left meanwhile")
        publication = LocalTrackPublication(info)
        publication.attach_track(track)
        track.handle_sid(info.sid)
        self._track_publications[info.sid] = publication
        track.bind_mute(lambda muted: self._handle_local_mute(publication, muted))
        if track.muted != info.muted:
            self._handle_local_mute(publication, track.muted)
        self._emit("local_track_published", publication, track)
        return publication

    async def _publish_audio(
        self, track: LocalAudioTrack, options: TrackPublishOptions
    ) -> lk.TrackInfo:
        channels = track.source.channels_sent
        request = self._request(track, options)
        request.type = lk.TrackType.AUDIO
        request.disable_dtx = options.dtx is False
        request.disable_red = True
        if channels == 2:
            request.stereo = True
            request.audio_features.append(lk.AudioTrackFeature.TF_STEREO)
        if options.preconnect_buffer:
            request.audio_features.append(lk.AudioTrackFeature.TF_PRECONNECT_BUFFER)
        info, sender = await self._session.publish(request, codec="opus")
        assert isinstance(sender, AudioRtpSender)
        default_bps = MONO_BITRATE_BPS if channels == 1 else STEREO_BITRATE_BPS
        track.attach_uplink(
            AudioUplink(
                sender,
                asyncio.get_running_loop(),
                channels=channels,
                bitrate_bps=options.audio_encoding.max_bitrate or default_bps,
            )
        )
        return info

    async def _publish_video(
        self, track: LocalVideoTrack, options: TrackPublishOptions
    ) -> lk.TrackInfo:
        codec = _CODECS.get(VideoCodec(options.video_codec))
        if codec is None:
            raise NotImplementedError(f"publishing {VideoCodec(options.video_codec).name}")
        source = track.source
        layers = choose_layers(
            source.width,
            source.height,
            simulcast=options.simulcast is not False,
            is_screencast=source.is_screencast or options.source == TrackSource.SOURCE_SCREENSHARE,
            max_bitrate_bps=int(options.video_encoding.max_bitrate),
            max_fps=options.video_encoding.max_framerate,
        )
        request = self._request(track, options)
        request.type = lk.TrackType.VIDEO
        request.width, request.height = source.width, source.height
        request.layers.extend(layers.announced)
        info, sender = await self._session.publish(request, codec=codec, layers=layers.parameters)
        assert isinstance(sender, VideoRtpSender)
        track.attach_uplink(
            VideoUplink(sender, asyncio.get_running_loop(), layers=layers.specs, codec=codec)
        )
        return info

    def _request(self, track: LocalTrack, options: TrackPublishOptions) -> lk_rtc.AddTrackRequest:
        return lk_rtc.AddTrackRequest(
            name=track.name,
            source=_WIRE_SOURCE[int(options.source)],
            muted=track.muted,
            stream=options.stream,
        )

    def _handle_local_mute(self, publication: LocalTrackPublication, muted: bool) -> None:
        publication.handle_muted(muted)
        self._session.set_muted(publication.sid, muted)
        self._emit("track_muted" if muted else "track_unmuted", self, publication)

    async def unpublish_track(self, track_sid: str) -> None:
        """Take a track back."""
        publication = self._track_publications.get(track_sid)
        if publication is None:
            raise UnpublishTrackError(f"no published track with sid {track_sid}")
        self.drop_publication(publication)
        try:
            await self._session.unpublish(publication.sid)
        except WorldError as error:
            raise UnpublishTrackError(str(error)) from error

    def drop_publication(self, publication: LocalTrackPublication) -> None:
        """Stop sending a track and forget its publication."""
        self._track_publications.pop(publication.sid, None)
        _release(publication)
        self._emit("local_track_unpublished", publication)
        publication.attach_track(None)

    def rename_publication(self, old_sid: str, info: lk.TrackInfo) -> None:
        """Take over the new sid of a track that was published again."""
        publication = self._track_publications.pop(old_sid, None)
        if publication is None:
            return
        publication.handle_info(info)
        self._track_publications[info.sid] = publication
        track = publication.track
        if track is not None:
            track.handle_sid(info.sid)
            if isinstance(track, LocalVideoTrack) and track.uplink is not None:
                track.uplink.force_keyframes()
        self._emit("local_track_republished", publication, old_sid)

    def set_wanted_qualities(
        self, track_sid: str, qualities: Sequence[lk_rtc.SubscribedQuality]
    ) -> None:
        """Encode only the layers that somebody watches."""
        publication = self._track_publications.get(track_sid)
        track = None if publication is None else publication.track
        if not isinstance(track, LocalVideoTrack) or track.uplink is None:
            return
        wanted = {int(each.quality): each.enabled for each in qualities}
        count = track.uplink.layer_count
        for layer in range(count):
            # A single layer serves every quality.
            enabled = any(wanted.values()) if count == 1 else wanted.get(layer, True)
            track.uplink.set_layer_enabled(layer, enabled)

    def release_tracks(self) -> None:
        """Stop sending everything for good; publications stay as they were."""
        self._is_released = True
        for publication in self._track_publications.values():
            _release(publication)

    def __repr__(self) -> str:
        return f"rtc.LocalParticipant(sid={self.sid}, identity={self.identity}, name={self.name})"


_WIRE_SOURCE = {
    int(TrackSource.SOURCE_UNKNOWN): lk.TrackSource.UNKNOWN,
    int(TrackSource.SOURCE_CAMERA): lk.TrackSource.CAMERA,
    int(TrackSource.SOURCE_MICROPHONE): lk.TrackSource.MICROPHONE,
    int(TrackSource.SOURCE_SCREENSHARE): lk.TrackSource.SCREEN_SHARE,
    int(TrackSource.SOURCE_SCREENSHARE_AUDIO): lk.TrackSource.SCREEN_SHARE_AUDIO,
}


def _release(publication: LocalTrackPublication) -> None:
    track = publication.track
    if track is not None:
        track.bind_mute(None)
        track.attach_uplink(None)
