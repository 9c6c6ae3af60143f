"""Who may subscribe to a publisher's tracks, as the publisher says. Sans-IO."""

from __future__ import annotations

from dataclasses import dataclass, field

from livekit.protocol import rtc


@dataclass(frozen=True)
class SubscriptionRules:
    """Everybody, unless the publisher sent a `subscription_permission`."""

    all_participants: bool = True
    by_identity: dict[str, frozenset[str] | None] = field(default_factory=dict)
    by_sid: dict[str, frozenset[str] | None] = field(default_factory=dict)

    @classmethod
    def from_request(cls, request: rtc.SubscriptionPermission) -> SubscriptionRules:
        """Read the message; None stands for all tracks."""
        rules = cls(all_participants=request.all_participants)
        for permission in request.track_permissions:
            tracks = None if permission.all_tracks else frozenset(permission.track_sids)
            if permission.participant_identity:
                rules.by_identity[permission.participant_identity] = tracks
            elif permission.participant_sid:
                rules.by_sid[permission.participant_sid] = tracks
        return rules

    def allows(self, *, sid: str, identity: str, track_sid: str) -> bool:
        """Whether this participant may subscribe to that track."""
        if self.all_participants:
            return True
        for table, key in ((self.by_identity, identity), (self.by_sid, sid)):
            if key in table:
                tracks = table[key]
                return tracks is None or track_sid in tracks
        return False
