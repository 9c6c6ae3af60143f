"""Everything one needs to let others in: link, passcode, QR code."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import quote

from PySide6.QtCore import Qt, QTimer, QUrl
from PySide6.QtGui import QDesktopServices, QGuiApplication, QResizeEvent
from PySide6.QtWidgets import QHBoxLayout, QVBoxLayout, QWidget

from app.protocol.ids import slug
from app.protocol.invite import LinkKind, build_invite, readable_invite
from app.ui.home.destination import Destination
from app.ui.home.qr import MOST_PX, QrCode
from app.ui.home.words import typeset
from app.ui.theme import TypeStyle
from app.ui.widgets import Button, Dialog, IconLabel, Inset, TextField, TextLabel

if TYPE_CHECKING:
    from app.host.hosted import HostedRoom

COPIED_MS = 2000
LOW_BELOW_PX = 480
LOW_CODE_PX = 204


@dataclass(frozen=True, slots=True)
class Invitation:
    """What can be handed on: a link or, for other LiveKit servers, an address."""

    room: str
    link: str
    address: str
    passcode: str = ""
    on_network: bool = True
    hosted_here: bool = False
    needs_own_access: bool = False
    """The link is a server's address alone: whoever runs the server lets people in."""


def invitation_of(
    destination: Destination, hosted: HostedRoom | None, passcode: str
) -> Invitation | None:
    """What this person can hand on; None when there is nothing."""
    if destination.host is not None:
        if hosted is None:
            return None
        return Invitation(
            hosted.room,
            hosted.invite_link,
            hosted.address,
            hosted.passcode,
            on_network=hosted.on_network,
            hosted_here=True,
        )
    link = destination.link
    if link is None:
        return None
    if link.kind is LinkKind.SERVER:
        return Invitation(link.room, link.server_url, link.address, needs_own_access=True)
    return Invitation(link.room, build_invite(link), link.address, passcode)


class InviteDialog(Dialog):
    """Shows an `Invitation` over the window."""

    def __init__(self, host: QWidget, invitation: Invitation) -> None:
        super().__init__(host, "Invite people", _subtitle(invitation), width_px=680)
        self.setObjectName("inviteDialog")
        columns = QHBoxLayout()
        columns.setSpacing(28)
        left = QVBoxLayout()
        left.setSpacing(14)
        label = "Server address" if invitation.needs_own_access else "Invite link"
        self._add_copyable(left, label, invitation.link, "inviteLink", "inviteCopyLink")
        if invitation.passcode:
            self._add_copyable(
                left, "Passcode", invitation.passcode, "invitePasscode", "inviteCopyPasscode"
            )
        left.addSpacing(2)
        left.addWidget(_address_row(invitation))
        if not invitation.passcode and not invitation.needs_own_access:
            left.addWidget(_help_row(invitation))
        left.addStretch(1)
        columns.addLayout(left, 1)
        right = QVBoxLayout()
        right.setSpacing(10)
        code = QrCode(invitation.link)
        code.setObjectName("inviteQr")
        right.addWidget(code)
        self._code = code
        caption = TextLabel("Scan with a phone camera", TypeStyle.CAPTION, "text2")
        caption.setFixedWidth(code.width())
        caption.setAlignment(Qt.AlignmentFlag.AlignCenter)
        right.addWidget(caption)
        self._caption = caption
        right.addStretch(1)
        columns.addLayout(right)
        self.body.addLayout(columns)
        email = Button("Email", "envelope-simple")
        email.setObjectName("inviteEmail")
        email.clicked.connect(lambda: QDesktopServices.openUrl(_mail(invitation)))
        done = Button("Done", tone="primary")
        done.setObjectName("inviteDone")
        done.clicked.connect(self.close_)
        self.buttons.addWidget(email)
        self.buttons.addWidget(done)
        self.first = done

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Drop the caption and shrink the code where the window is too low for them."""
        super().resizeEvent(event)
        is_low = self.height() < LOW_BELOW_PX
        self._caption.setVisible(not is_low)
        self._code.set_most_px(LOW_CODE_PX if is_low else MOST_PX)

    def _add_copyable(
        self, column: QVBoxLayout, label: str, text: str, field_name: str, button_name: str
    ) -> None:
        box = QVBoxLayout()
        box.setSpacing(6)
        box.addWidget(TextLabel(label, TypeStyle.LABEL, "text2"))
        row = QHBoxLayout()
        row.setSpacing(8)
        field = TextField()
        field.setObjectName(field_name)
        field.setReadOnly(True)
        field.setText(readable_invite(text))
        field.setCursorPosition(0)
        field.setAccessibleName(label)
        row.addWidget(field, 1)
        button = Button("Copy", "copy")
        button.setObjectName(button_name)
        button.setAccessibleName(f"Copy {label.lower()}")
        button.setFixedWidth(112)
        button.clicked.connect(lambda: _copy(button, text))
        row.addWidget(button)
        box.addLayout(row)
        column.addLayout(box)


def _copy(button: Button, text: str) -> None:
    QGuiApplication.clipboard().setText(text)
    button.setText("Copied")
    button.set_icon_name("check")
    button.set_tone("primary")
    QTimer.singleShot(COPIED_MS, button, lambda: _rest(button))


def _rest(button: Button) -> None:
    button.setText("Copy")
    button.set_icon_name("copy")
    button.set_tone("")


def _subtitle(invitation: Invitation) -> str:
    if invitation.needs_own_access:
        return "Everybody needs access of their own here, from whoever runs this server."
    if not invitation.on_network:
        return typeset("The meeting isn't open to a network: only this computer can join it.")
    if invitation.hosted_here:
        return "Anyone on your network can join with this link. No account needed."
    return "Anyone who can reach this address can join with this link. No account needed."


def _address_row(invitation: Invitation) -> Inset:
    inset = Inset()
    inset.body.addWidget(IconLabel("globe", 18, "text2"))
    words = QVBoxLayout()
    words.setSpacing(0)
    title = "This computer's address" if invitation.hosted_here else "The meeting's address"
    words.addWidget(TextLabel(typeset(title), TypeStyle.LABEL_STRONG))
    address = TextLabel(invitation.address, TypeStyle.CAPTION, "text2")
    address.setObjectName("inviteAddress")
    words.addWidget(address)
    inset.body.addLayout(words, 1)
    return inset


def _help_row(invitation: Invitation) -> Inset:
    """What people do with it; short enough to be read out."""
    text = "People paste the link on Lanai's start page."
    if invitation.hosted_here:
        typed = f"{invitation.address}/{slug(invitation.room)}"
        text = f"People paste the link on Lanai's start page, or type {typed} there."
    inset = Inset()
    inset.body.addWidget(IconLabel("info", 18, "text2"))
    words = TextLabel(typeset(text), TypeStyle.CAPTION, "text2", wrap=True)
    words.setObjectName("inviteHelp")
    inset.body.addWidget(words, 1)
    return inset


def _mail(invitation: Invitation) -> QUrl:
    body = f"Join me in \u201c{invitation.room}\u201d: {invitation.link}"
    subject = f"Meeting: {invitation.room}"
    return QUrl(f"mailto:?subject={quote(subject)}&body={quote(body)}")
