"""A few words about oneself: chosen from four, or written."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtWidgets import QGridLayout, QWidget

from app.ui.widgets import Button, Dialog, TextField

MOST_CHARS = 60
OFFERED = ("Away", "Be right back", "In another call", "Listening only")


def ask_status(host: QWidget, status: str, on_status: Callable[[str], None]) -> Dialog:
    """Ask for a status; "" takes it away."""
    dialog = Dialog(host, "Your status", "Everybody sees it beside your name.", width_px=420)
    dialog.setObjectName("statusDialog")
    field = TextField("A few words", "smiley")
    field.setObjectName("statusText")
    field.setAccessibleName("Your status")
    field.setMaxLength(MOST_CHARS)
    field.setText(status)
    field.selectAll()
    dialog.body.addWidget(field)
    dialog.body.addSpacing(12)

    def take(text: str) -> None:
        on_status(text.strip())
        dialog.close_()

    grid = QGridLayout()
    grid.setSpacing(8)
    for place, words in enumerate(OFFERED):
        offer = Button(words, size="small")
        offer.setObjectName(f"statusOffer_{place}")
        offer.clicked.connect(lambda _checked=False, text=words: take(text))
        grid.addWidget(offer, place // 2, place % 2)
    dialog.body.addLayout(grid)
    if status:
        clear = Button("Clear", tone="ghost")
        clear.setObjectName("statusClear")
        clear.clicked.connect(lambda: take(""))
        dialog.buttons.addWidget(clear)
    save = Button("Save", tone="primary")
    save.setObjectName("statusSave")
    save.clicked.connect(lambda: take(field.text()))
    field.returnPressed.connect(lambda: take(field.text()))
    dialog.buttons.addWidget(save)
    dialog.open_(field)
    return dialog
