"""The small dialogs of the start page: one's name, hosting options, how it works."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtWidgets import QHBoxLayout, QVBoxLayout, QWidget

from app.ui.home.destination import HostPlan
from app.ui.home.words import typeset
from app.ui.theme import TypeStyle
from app.ui.widgets import Button, Dialog, IconPlate, Switch, TextField, TextLabel


def ask_name(
    host: QWidget,
    name: str,
    on_name: Callable[[str], None],
    *,
    title: str = "Your name",
    question: str = "What should people call you?",
) -> Dialog:
    """Ask what people should call this person, or somebody else."""
    dialog = Dialog(host, title, question, width_px=420)
    dialog.setObjectName("profileDialog")
    field = TextField("Your name", "user")
    field.setObjectName("profileName")
    field.setAccessibleName(title)
    field.setMaxLength(64)
    field.setText(name)
    field.selectAll()
    dialog.body.addWidget(field)
    save = Button("Save", tone="primary")
    save.setObjectName("profileSave")
    save.setEnabled(bool(name.strip()))
    field.textChanged.connect(lambda text: save.setEnabled(bool(text.strip())))

    def accept() -> None:
        if save.isEnabled():
            on_name(field.text().strip())
            dialog.close_()

    save.clicked.connect(accept)
    field.returnPressed.connect(accept)
    dialog.buttons.addWidget(save)
    dialog.open_(field)
    return dialog


def ask_host_options(host: QWidget, plan: HostPlan, on_start: Callable[[HostPlan], None]) -> Dialog:
    """Ask for the meeting's name, passcode and reach before hosting."""
    dialog = Dialog(host, "Host a meeting", "It runs on this computer.", width_px=460)
    dialog.setObjectName("hostOptions")
    room = TextField("Meeting name", "house-line")
    room.setObjectName("hostRoomName")
    room.setMaxLength(60)
    room.setText(plan.room)
    passcode = TextField("None", "key")
    passcode.setObjectName("hostPasscode")
    passcode.setMaxLength(64)
    passcode.setText(plan.passcode)
    for label, field in (("Name", room), ("Passcode, if you like", passcode)):
        field.setAccessibleName(label)
        dialog.body.addWidget(TextLabel(label, TypeStyle.LABEL, "text2"))
        dialog.body.addSpacing(6)
        dialog.body.addWidget(field)
        dialog.body.addSpacing(16)
    network = _switch_row(
        dialog, "Open to your network", "Off: only programs on this computer can join"
    )
    network.setObjectName("hostOnNetwork")
    network.setChecked(plan.on_network)
    dialog.body.addSpacing(12)
    lobby = _switch_row(dialog, "Waiting room", "You admit each person who comes by the link")
    lobby.setObjectName("hostOptionLobby")
    lobby.setChecked(plan.lobby)
    start = Button("Start hosting", "broadcast", tone="primary")
    start.setObjectName("hostStart")
    start.setEnabled(bool(plan.room.strip()))
    room.textChanged.connect(lambda text: start.setEnabled(bool(text.strip())))

    def accept() -> None:
        if start.isEnabled():
            chosen = HostPlan(
                room.text().strip(),
                passcode.text(),
                network.isChecked(),
                lobby=lobby.isChecked(),
                locked=plan.locked,
            )
            dialog.close_()
            on_start(chosen)

    start.clicked.connect(accept)
    room.returnPressed.connect(accept)
    passcode.returnPressed.connect(accept)
    cancel = Button("Cancel")
    cancel.setObjectName("hostCancel")
    cancel.clicked.connect(dialog.close_)
    dialog.buttons.addWidget(cancel)
    dialog.buttons.addWidget(start)
    dialog.open_(room)
    return dialog


def _switch_row(dialog: Dialog, title: str, note: str) -> Switch:
    row = QHBoxLayout()
    words = QVBoxLayout()
    words.setSpacing(0)
    words.addWidget(TextLabel(title, TypeStyle.LABEL_STRONG))
    words.addWidget(TextLabel(note, TypeStyle.CAPTION, "text2"))
    row.addLayout(words, 1)
    switch = Switch(title)
    row.addWidget(switch)
    dialog.body.addLayout(row)
    return switch


def show_how_it_works(host: QWidget) -> Dialog:
    """Explain where sound, video and files go."""
    dialog = Dialog(host, "How it works", width_px=520)
    dialog.setObjectName("howItWorksDialog")
    points = (
        (
            "house-line",
            "A meeting runs on somebody's computer",
            "When you host, this computer passes sound, video and files on to the others. "
            "No cloud service takes part.",
        ),
        (
            "users-three",
            "A link is all it takes",
            "Whoever has your invite link, and the passcode if you set one, can join. "
            "There are no accounts.",
        ),
        (
            "shield-check",
            "Nothing goes anywhere else",
            "Lanai talks only to the server you join. What it sends on the way is encrypted; "
            "the computer that hosts can read it.",
        ),
    )
    for index, (icon, title, text) in enumerate(points):
        if index:
            dialog.body.addSpacing(16)
        row = QHBoxLayout()
        row.setSpacing(16)
        row.addWidget(IconPlate(icon, 40))
        words = QVBoxLayout()
        words.setSpacing(2)
        words.addWidget(TextLabel(typeset(title), TypeStyle.BODY_STRONG))
        words.addWidget(TextLabel(typeset(text), TypeStyle.NOTE, "text2", wrap=True))
        row.addLayout(words, 1)
        dialog.body.addLayout(row)
    done = Button("Got it", tone="primary")
    done.setObjectName("howItWorksDone")
    done.clicked.connect(dialog.close_)
    dialog.buttons.addWidget(done)
    dialog.open_(done)
    return dialog
