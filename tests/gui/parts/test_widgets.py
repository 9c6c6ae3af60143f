"""The parts every page is built from."""

from __future__ import annotations

import pytest
from PySide6.QtCore import QPoint, Qt
from PySide6.QtGui import QColor, QFontMetrics, QIcon
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QWidget
from pytestqt.qtbot import QtBot

from app.ui.theme import ThemeChoice, TypeStyle, color, font_of, theme
from app.ui.widgets import (
    Avatar,
    Button,
    Chip,
    ComboBox,
    ControlButton,
    Dialog,
    ElidedLabel,
    EmptyState,
    IconButton,
    LevelBar,
    Menu,
    ProgressBar,
    Question,
    SegmentMeter,
    Spinner,
    Switch,
    TextField,
    TextLabel,
    ToastArea,
    ask,
)


@pytest.fixture
def host(qtbot: QtBot, qapp: QApplication) -> QWidget:
    """An empty window of 800x600."""
    theme.apply_to(qapp, ThemeChoice.DARK)
    widget = QWidget()
    qtbot.addWidget(widget)
    widget.resize(800, 600)
    widget.show()
    qtbot.waitExposed(widget)
    return widget


def settle() -> None:
    for _ in range(6):
        QApplication.processEvents()


def test_enter_presses_the_button_that_has_the_focus(host: QWidget) -> None:
    pressed: list[str] = []
    buttons = {
        "push": Button("Rejoin", parent=host),
        "icon": IconButton("x", "Close", parent=host),
        "control": ControlButton("chat", "Chat", parent=host),
    }
    for name, button in buttons.items():
        button.clicked.connect(lambda _=False, name=name: pressed.append(name))
        button.show()
        QTest.keyClick(button, Qt.Key.Key_Return)
        QTest.keyClick(button, Qt.Key.Key_Enter)

    assert pressed == ["push", "push", "icon", "icon", "control", "control"]


@pytest.mark.parametrize(("size", "height"), [("small", 32), ("", 40), ("large", 48)])
@pytest.mark.parametrize("tone", ["", "primary", "soft", "outline", "danger", "ghost", "link"])
def test_buttons_have_their_height_in_every_tone(
    host: QWidget, tone: str, size: str, height: int
) -> None:
    button = Button("Join", "link", tone=tone, size=size, parent=host)
    button.adjustSize()
    button.show()
    settle()

    assert button.height() == height
    assert not button.icon().isNull()


def test_a_button_follows_the_theme(host: QWidget, qapp: QApplication) -> None:
    button = Button("Join", "link", parent=host)
    button.show()
    settle()
    dark = button.icon().cacheKey()
    theme.choose(ThemeChoice.LIGHT)
    settle()

    assert button.icon().cacheKey() != dark
    assert button.grab().toImage().pixelColor(20, 4).lightness() > 150
    theme.choose(ThemeChoice.DARK)


def test_a_control_button_says_what_a_press_does(host: QWidget) -> None:
    button = ControlButton("microphone", "Mute", parent=host)
    button.set_state("microphone-slash-fill", "Unmute", "off")
    button.show()
    settle()

    assert button.accessibleName() == "Unmute"
    assert button.height() == 56
    assert button.grab().toImage().pixelColor(10, 10) == color("danger_soft")
    button.set_compact(True)
    assert button.height() == 44


def test_an_icon_button_is_large_enough_and_named(host: QWidget) -> None:
    button = IconButton("x", "Close", side_px=28, parent=host)

    assert min(button.width(), button.height()) >= 28
    assert button.accessibleName() == "Close"
    button.set_name("Close", "Esc")
    assert button.toolTip() == "Close (Esc)"


def test_a_field_keeps_its_height_and_text_when_it_gets_the_focus(
    host: QWidget, qtbot: QtBot
) -> None:
    field = TextField("Your name", "user", parent=host)
    field.setFixedWidth(300)
    field.setText("Noa")
    field.show()
    settle()
    before = field.cursorRect().left()
    field.setFocus()
    settle()

    assert field.height() == 40
    assert field.cursorRect().left() == before


def test_a_switch_toggles_by_mouse_and_keyboard(host: QWidget, qtbot: QtBot) -> None:
    switch = Switch("Waiting room", parent=host)
    switch.show()
    qtbot.mouseClick(switch, Qt.MouseButton.LeftButton, pos=QPoint(4, 14))
    assert switch.isChecked()
    switch.setFocus()
    qtbot.keyClick(switch, Qt.Key.Key_Space)
    assert not switch.isChecked()


def test_a_long_name_is_shortened_and_its_tooltip_tells_all(host: QWidget) -> None:
    label = ElidedLabel("A very long meeting name that does not fit", TypeStyle.TITLE, parent=host)
    label.resize(120, 28)
    label.show()
    settle()

    assert label.text().endswith("\u2026")
    assert label.toolTip() == label.full_text()
    label.resize(700, 28)
    settle()
    assert label.text() == label.full_text()


def test_labels_never_read_markup(host: QWidget) -> None:
    label = TextLabel("<b>bold</b>", parent=host)

    assert label.textFormat() is Qt.TextFormat.PlainText


@pytest.mark.parametrize(("level", "lit"), [(-1.0, 0), (0.0, 0), (0.5, 12), (1.0, 24), (9.0, 24)])
def test_the_meter_lights_in_proportion(host: QWidget, level: float, lit: int) -> None:
    meter = SegmentMeter(parent=host)
    meter.set_level(level)

    assert meter.lit_segments() == lit


def test_the_level_bar_fills_from_below(host: QWidget) -> None:
    bar = LevelBar(parent=host)
    bar.set_level(0.5)
    picture = bar.grab().toImage()

    assert picture.pixelColor(1, 30) == color("accent")
    assert picture.pixelColor(1, 6) == color("surface3")


def test_progress_stays_between_nothing_and_all(host: QWidget) -> None:
    bar = ProgressBar(parent=host)
    for fraction, wanted in ((-1.0, 0.0), (0.5, 0.5), (2.0, 1.0)):
        bar.set_fraction(fraction)
        assert bar.fraction == wanted
    assert bar.accessibleDescription() == "100 %"


def test_a_spinner_rests_while_nobody_sees_it(host: QWidget) -> None:
    spinner = Spinner(parent=host)
    assert not spinner._timer.isActive()
    spinner.show()
    assert spinner._timer.isActive()
    spinner.hide()
    assert not spinner._timer.isActive()


def test_the_same_person_has_the_same_colour_everywhere(host: QWidget) -> None:
    one, two = Avatar("Mia", 40, parent=host), Avatar("Mia", 40, parent=host)

    assert one.grab().toImage() == two.grab().toImage()
    assert one.accessibleName() == "Mia"


def test_toasts_stack_at_the_top_right_and_the_oldest_goes(host: QWidget) -> None:
    area = ToastArea(host)
    for number in range(4):
        area.show_toast(str(number), f"Title {number}", "A sentence under it.")
    settle()

    assert area.titles() == ["Title 1", "Title 2", "Title 3"]
    right = area.geometry().right()
    assert host.width() - right == pytest.approx(20 - 12 + 1, abs=1)
    host.resize(640, 480)
    settle()
    assert area.geometry().right() == pytest.approx(640 - 20 + 12 - 1, abs=1)


def test_a_toast_with_the_same_id_replaces_the_first(host: QWidget) -> None:
    area = ToastArea(host)
    area.show_toast("copy", "Link copied", tone="success")
    area.show_toast("copy", "Passcode copied", tone="success")

    assert area.titles() == ["Passcode copied"]


def test_a_toasts_action_runs_once_and_dismisses_it(host: QWidget, qtbot: QtBot) -> None:
    area = ToastArea(host)
    pressed: list[int] = []
    toast = area.show_toast(
        "file", "x.pdf", action="Open folder", on_action=lambda: pressed.append(1)
    )
    settle()
    qtbot.mouseClick(toast.action_button, Qt.MouseButton.LeftButton)
    settle()

    assert pressed == [1]
    assert area.titles() == []


def test_a_dialog_covers_its_window_and_follows_its_size(host: QWidget) -> None:
    dialog = Dialog(host, "Title", "A subtitle")
    dialog.open_()
    settle()
    assert dialog.geometry() == host.rect()
    host.resize(640, 420)
    settle()

    assert dialog.geometry() == host.rect()
    assert host.rect().contains(dialog.card.geometry())
    dialog.close_()


def test_a_question_answers_once(host: QWidget, qtbot: QtBot) -> None:
    answers: list[str] = []
    dialog = ask(host, "End for everyone?", "4 people.", "End", lambda: answers.append("yes"))
    settle()
    closed: list[int] = []
    dialog.closed.connect(lambda: closed.append(1))
    button = dialog.findChild(QWidget, "confirmYes")
    assert button is not None
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)

    assert answers == ["yes"]
    assert closed == [1]


def test_menu_entries_carry_names_and_check_marks(host: QWidget) -> None:
    chosen: list[str] = []
    menu = Menu(host)
    entry = menu.add_item("Mute", lambda: chosen.append("mute"), name="actionMute", checked=True)
    entry.trigger()

    assert chosen == ["mute"]
    assert entry.objectName() == "actionMute"


def test_what_ends_something_is_red_in_a_menu_and_its_keys_are_quiet(
    host: QWidget, each_theme: ThemeChoice
) -> None:
    menu = Menu(host)
    menu.add_heading("Leaving")
    menu.add_item("Leave", lambda: None, icon="phone-x", shortcut="Ctrl+Shift+W")
    menu.add_item("End for everyone and all", lambda: None, icon="x-circle", danger=True)
    menu.popup(host.mapToGlobal(QPoint(0, 0)))
    settle()
    picture = menu.grab().toImage()

    def inks(number: int) -> set[int]:
        box = menu.actionGeometry(menu.actions()[number]).adjusted(30, 0, 0, 0)
        return {
            picture.pixel(x, y)
            for x in range(box.left(), box.right())
            for y in range(box.top(), box.bottom())
        }

    def holds(number: int, token: str) -> bool:
        wanted = color(token)
        return any(
            abs(ink.red() - wanted.red())
            + abs(ink.green() - wanted.green())
            + abs(ink.blue() - wanted.blue())
            < 40
            for ink in map(QColor, inks(number))
        )

    menu.close()
    assert holds(2, "danger_text")
    assert not holds(1, "danger_text")
    assert holds(1, "text1")
    assert holds(1, "text3")


def test_a_menu_is_as_wide_as_its_longest_entry_with_its_keys(host: QWidget) -> None:
    menu = Menu(host)
    entry = menu.add_item("A rather long entry of a menu", lambda: None, shortcut="Ctrl+Shift+M")
    menu.popup(host.mapToGlobal(QPoint(0, 0)))
    settle()
    words, keys = QFontMetrics(menu.font()), QFontMetrics(font_of(TypeStyle.CAPTION))
    need = words.horizontalAdvance("A rather long entry of a menu")
    need += keys.horizontalAdvance("Ctrl+Shift+M")

    assert menu.actionGeometry(entry).width() >= need + 37 + 2 * 10
    menu.close()


def test_a_ring_is_for_the_keyboard_and_not_for_what_the_mouse_pressed(
    host: QWidget, qtbot: QtBot
) -> None:
    buttons: list[QWidget] = [
        ControlButton("chat-circle-text", "Chat", parent=host),
        IconButton("x", "Close", parent=host),
        Button("Close", parent=host),
        Switch("Lock", parent=host),
    ]
    for number, button in enumerate(buttons):
        button.move(20, 20 + 70 * number)
        button.show()
    settle()

    def ringed(widget: QWidget) -> bool:
        picture, accent = widget.grab().toImage(), color("accent")
        edge = [picture.pixelColor(x, picture.height() // 2) for x in range(3)]
        return any(abs(ink.green() - accent.green()) < 60 for ink in edge)

    for button in buttons:
        qtbot.mouseClick(button, Qt.MouseButton.LeftButton)
        if isinstance(button, Switch):
            button.setChecked(False)
        settle()
        assert button.hasFocus()
        assert not ringed(button), type(button).__name__
        qtbot.keyClick(button, Qt.Key.Key_Shift)
        settle()
        assert ringed(button), type(button).__name__
        buttons[0 if button is not buttons[0] else 1].setFocus(Qt.FocusReason.MouseFocusReason)
        button.setFocus(Qt.FocusReason.TabFocusReason)
        assert ringed(button), type(button).__name__


def test_a_disabled_buttons_icon_can_still_be_seen(host: QWidget, each_theme: ThemeChoice) -> None:
    button = Button("Call", "phone", tone="primary", parent=host)
    button.setEnabled(False)
    button.show()
    settle()
    icon = button.icon().pixmap(18, 18, QIcon.Mode.Disabled).toImage()
    strongest = max(
        (icon.pixelColor(x, y) for x in range(icon.width()) for y in range(icon.height())),
        key=lambda ink: ink.alpha(),
    )

    assert strongest.alpha() > 120
    assert abs(strongest.lightness() - color("text3").lightness()) < 8


def test_a_toast_that_asks_has_two_answers_and_waits(host: QWidget, qtbot: QtBot) -> None:
    area = ToastArea(host)
    said: list[str] = []
    question = Question(
        "Theo", "Admit", lambda: said.append("admit"), "View", lambda: said.append("view")
    )
    toast = area.show_toast("knock", "Theo wants to join", question=question)
    settle()
    qtbot.mouseClick(toast.other_button, Qt.MouseButton.LeftButton)
    settle()
    assert (said, area.titles()) == (["view"], [])

    toast = area.show_toast("knock", "Theo wants to join", question=question)
    assert toast.action_button.property("tone") == "primary"
    qtbot.mouseClick(toast.action_button, Qt.MouseButton.LeftButton)
    assert said == ["view", "admit"]


def test_every_part_paints_in_both_themes(host: QWidget, each_theme: ThemeChoice) -> None:
    combo = ComboBox("microphone", parent=host)
    combo.addItem("A microphone with quite a long name, longer than the box")
    combo.resize(160, 40)
    parts: list[QWidget] = [
        combo,
        Chip("3 live", "broadcast", parent=host),
        EmptyState("chat-circle-text", "Say hello", "Messages reach everyone.", parent=host),
        Switch("x", parent=host),
        Spinner(40, parent=host),
    ]
    for part in parts:
        part.show()
    settle()
    for part in parts:
        picture = part.grab().toImage()
        colors = {
            picture.pixel(x, y)
            for x in range(0, picture.width(), 2)
            for y in range(0, picture.height(), 2)
        }
        assert len(colors) > 1, type(part).__name__
