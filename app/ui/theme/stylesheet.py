"""The application's style sheet: one template, filled from the tokens.

It selects by class and by the dynamic properties `role`, `tone`, `extent`, never by object name.
Fonts of labels come from `TextLabel`; here are only those of classes that people also meet
plain (menus, tooltips). A widget whose property changed calls `repolish`.
"""

from __future__ import annotations

from dataclasses import fields
from string import Template

from PySide6.QtWidgets import QWidget

from app.ui.theme.tokens import Tokens

_TEMPLATE = Template("""
* { font-family: "Inter"; outline: none; }
QPlainTextEdit[mono="true"], QLabel[mono="true"] {
  font-family: "Cascadia Mono", "Menlo", "DejaVu Sans Mono", "Consolas", "monospace"; }
QMainWindow, QWidget[role="page"], QStackedWidget[role="pages"] { background: $window; }
QWidget { color: $text1; selection-background-color: $accent; selection-color: $on_accent; }
QLabel { background: transparent; }
QToolTip { background: $surface2; color: $text1; border: 1px solid $border; padding: 5px 8px; }

QFrame[role="card"] { background: $surface1; border: 1px solid $border; border-radius: 16px; }
QFrame[role="inset"] { background: $surface2; border: none; border-radius: 12px; }
QFrame[role="inset"][framed="true"] { border: 1px solid $border; }
QFrame[role="stepper"] { background: transparent; border: 1px solid $control;
  border-radius: 10px; }
QFrame[role="bar"] { background: $surface1; border: none; }
QFrame[role="topbar"] { background: $surface1; border: none; border-bottom: 1px solid $border; }
QFrame[role="bottombar"] { background: $surface1; border: none; border-top: 1px solid $border; }
QFrame[role="panel"] { background: $surface1; border: none; border-left: 1px solid $border; }
QFrame[role="rail"] { background: $window; border: none; border-right: 1px solid $border;
  border-top-left-radius: 15px; border-bottom-left-radius: 15px; }
QFrame[role="segments"] { background: $surface2; border: none; border-radius: 10px; }
QFrame[role="hairline"] { background: $border; border: none; }

QLabel[tone="text1"] { color: $text1; }
QLabel[tone="text2"] { color: $text2; }
QLabel[tone="text3"] { color: $text3; }
QLabel[tone="accent"] { color: $accent_text; }
QLabel[tone="danger"] { color: $danger_text; }
QLabel[tone="warn"] { color: $warn_text; }
QLabel[tone="success"] { color: $success; }
QLabel[tone="agent"] { color: $agent; }
QLabel[role="key"] { background: $surface3; color: $text1; border-radius: 6px; padding: 0 6px; }

QPushButton, QToolButton[role="button"] {
  border: 1px solid transparent; border-radius: 10px; padding: 0 16px; min-height: 38px;
  background: $surface3; color: $text1; }
QPushButton[extent="small"] { min-height: 30px; border-radius: 8px; padding: 0 12px; }
QPushButton[extent="large"] { min-height: 46px; border-radius: 12px; padding: 0 24px; }
QPushButton:hover { background: $surface3; border-color: $control; }
QPushButton:pressed { background: $border; }
QPushButton:focus { border: 2px solid $accent; }
QPushButton[tone="primary"] { background: $accent; color: $on_accent; }
QPushButton[tone="primary"]:hover { background: $accent_hover; border-color: transparent; }
QPushButton[tone="primary"]:pressed { background: $accent; }
QPushButton[tone="primary"]:focus { border: 2px solid $text1; }
QPushButton[tone="soft"] { background: $accent_soft; color: $accent_text; }
QPushButton[tone="soft"]:hover { border-color: $accent; }
QPushButton[tone="soft"]:focus { border: 2px solid $accent; }
QPushButton[tone="outline"] { background: transparent; border: 1px solid $control; }
QPushButton[tone="outline"]:hover { background: $surface2; }
QPushButton[tone="outline"]:focus { border: 2px solid $accent; }
QPushButton[tone="danger"] { background: $danger; color: $on_danger; }
QPushButton[tone="danger"]:hover { background: $danger_hover; border-color: transparent; }
QPushButton[tone="danger"]:focus { border: 2px solid $text1; }
QPushButton[tone="danger_soft"] { background: $danger_soft; color: $danger_text; }
QPushButton[tone="danger_soft"]:hover { border-color: $danger_text; }
QPushButton[tone="danger_soft"]:focus { border: 2px solid $accent; }
QPushButton[tone="ghost"] { background: transparent; color: $text2; padding: 0 8px; }
QPushButton[tone="ghost"]:hover { background: $surface2; color: $text1; border-color: transparent; }
QPushButton[tone="link"] { background: transparent; color: $accent_text; padding: 0 6px; }
QPushButton[tone="link"]:hover { background: $surface2; border-color: transparent; }
QPushButton[tone="ghost"]:focus, QPushButton[tone="link"]:focus { border: 2px solid $accent; }
QPushButton:disabled { color: $text3; background: $surface2; border-color: transparent; }
QPushButton[tone="ghost"]:disabled, QPushButton[tone="link"]:disabled { background: transparent; }

QToolButton[role="icon"] { background: transparent; border: 1px solid transparent;
  border-radius: 8px; padding: 0; }
QToolButton[role="icon"]:hover { background: $surface2; }
QToolButton[role="icon"]:pressed, QToolButton[role="icon"]:checked { background: $surface3; }
QToolButton[role="icon"]:focus { border: 2px solid $accent; }
QToolButton[role="icon"][tone="outline"] { border-color: $control; }
QToolButton[role="icon"][tone="outline"]:focus { border: 2px solid $accent; }
QToolButton[role="icon"]::menu-indicator { image: none; width: 0; }

QToolButton[role="rail"] { background: transparent; color: $text2; border: 2px solid transparent;
  border-radius: 10px; padding: 0 10px; text-align: left; }
QToolButton[role="rail"]:hover { background: $surface2; color: $text1; }
QToolButton[role="rail"]:checked { background: $surface3; color: $text1; }
QToolButton[role="rail"]:focus { border-color: $accent; }
QToolButton[role="segment"] { background: transparent; color: $text2; border: 2px solid transparent;
  border-radius: 8px; padding: 0 12px; }
QToolButton[role="segment"]:hover { color: $text1; }
QToolButton[role="segment"]:checked { background: $surface3; color: $text1; }
QToolButton[role="segment"]:focus { border-color: $accent; }

QToolButton[role="control"] { background: transparent; color: $text1; border: 2px solid transparent;
  border-radius: 12px; min-height: 44px; padding: 5px 0 3px 0; }
QToolButton[role="control"][compact="true"] { min-height: 0; padding: 0; }
QToolButton[role="control"]:hover { background: $surface2; }
QToolButton[role="control"]:pressed { background: $surface3; }
QToolButton[role="control"][tone="on"] { background: $accent_soft; color: $accent_text; }
QToolButton[role="control"][tone="off"] { background: $danger_soft; color: $danger_text; }
QToolButton[role="control"][tone="raised"],
QToolButton[role="control"][tone="problem"] { background: $warn_soft; color: $warn_text; }
QToolButton[role="control"]:disabled { color: $text3; }
QToolButton[role="control"]:focus { border-color: $accent; }
QToolButton[role="control"]::menu-indicator { image: none; width: 0; }

QPushButton[pointed="true"]:focus { border: 1px solid transparent; }
QPushButton[tone="outline"][pointed="true"]:focus { border: 1px solid $control; }
QToolButton[role="icon"][pointed="true"]:focus { border: 1px solid transparent; }
QToolButton[role="icon"][tone="outline"][pointed="true"]:focus { border: 1px solid $control; }
QToolButton[role="control"][pointed="true"]:focus { border-color: transparent; }

QLineEdit, QComboBox, QPlainTextEdit[role="input"], QTextEdit[role="input"] {
  background: $surface2; color: $text1; border: 1px solid $control; border-radius: 10px; }
QLineEdit, QPlainTextEdit, QTextEdit { placeholder-text-color: $text3; }
QLineEdit { padding: 0 12px; min-height: 38px; }
QLineEdit[extent="small"] { min-height: 34px; }
QLineEdit[extent="small"]:focus { min-height: 32px; }
QLineEdit[extent="large"] { min-height: 46px; }
QLineEdit:focus, QComboBox:focus, QPlainTextEdit[role="input"]:focus,
QTextEdit[role="input"]:focus { border: 2px solid $accent; }
QLineEdit:focus { padding-right: 11px; padding-left: 11px; min-height: 36px; }
QLineEdit[extent="large"]:focus { min-height: 44px; }
QLineEdit[tone="danger"], QLineEdit[tone="danger"]:focus { border-color: $danger_text; }
QLineEdit:disabled, QComboBox:disabled { color: $text3; }
QComboBox { padding: 0 36px 0 40px; min-height: 38px; }
QComboBox:focus { padding: 0 35px 0 39px; min-height: 36px; }
QComboBox::drop-down { border: none; width: 36px; }
QComboBox::down-arrow { image: none; }
QComboBox QAbstractItemView { background: $surface2; color: $text1; border: 1px solid $border;
  border-radius: 10px; padding: 4px; outline: none;
  selection-background-color: $surface3; selection-color: $text1; }
QComboBox QAbstractItemView::item { min-height: 36px; padding: 0 8px; border-radius: 8px; }
QComboBox QAbstractItemView::item:selected, QComboBox QAbstractItemView::item:hover {
  background: $surface3; }

QMenu { background: $surface2; border: 1px solid $border; border-radius: 12px; padding: 6px; }
QMenu::item { color: $text1; background: transparent; border-radius: 8px; min-height: 20px;
  padding: 8px 18px 8px 12px; margin: 0; }
QMenu::item:selected { background: $surface3; }
QMenu::item:disabled { color: $text3; }
QMenu::icon { left: 10px; }
QMenu::indicator { width: 0; }
QMenu::separator { height: 1px; background: $border; margin: 6px 8px; }

QScrollArea, QScrollArea > QWidget > QWidget[role="scrolled"] { background: transparent;
  border: none; }
QScrollBar:vertical { background: transparent; width: 10px; margin: 2px; }
QScrollBar:horizontal { background: transparent; height: 10px; margin: 2px; }
QScrollBar::handle { background: $surface3; border-radius: 3px; min-height: 28px;
  min-width: 28px; }
QScrollBar::handle:hover { background: $control; }
QScrollBar::add-line, QScrollBar::sub-line { width: 0; height: 0; }
QScrollBar::add-page, QScrollBar::sub-page { background: transparent; }
QListView, QTreeView { background: transparent; border: none; }
""")


def build_stylesheet(tokens: Tokens) -> str:
    """Fill the template with a theme's colours."""
    return _TEMPLATE.substitute({f.name: getattr(tokens, f.name) for f in fields(tokens)})


def repolish(widget: QWidget) -> None:
    """Apply the style sheet again after a dynamic property of `widget` changed."""
    style = widget.style()
    style.unpolish(widget)
    style.polish(widget)
    widget.update()


def set_property(widget: QWidget, name: str, value: object) -> None:
    """Set a dynamic property the sheet selects by, and repolish only if it changed."""
    if widget.property(name) != value:
        widget.setProperty(name, value)
        repolish(widget)
