"""One window per person: a second start hands its link to the first and ends.

The local socket's name contains a hash of the configuration folder, so that the demo and the
tests, which have folders of their own, neither find nor disturb the person's own window.
"""

from __future__ import annotations

import getpass
import hashlib
from pathlib import Path

import structlog
from PySide6.QtCore import QObject, Signal
from PySide6.QtNetwork import QLocalServer, QLocalSocket

log = structlog.get_logger(__name__)

_WAIT_MS = 500
_MOST_BYTES = 16_384


def _socket_name(config: Path) -> str:
    person = f"{getpass.getuser()}|{config}"
    return f"io.lanai.Lanai-{hashlib.sha256(person.encode()).hexdigest()[:12]}"


class SingleInstance(QObject):
    """Listens for later starts; `messageReceived` carries their link, "" for none."""

    messageReceived = Signal(str)

    def __init__(self, config: Path, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._name = _socket_name(config)
        self._server = QLocalServer(self)
        self._server.setSocketOptions(QLocalServer.SocketOption.UserAccessOption)
        self._server.newConnection.connect(self._on_connection)
        self._received: dict[QLocalSocket, bytes] = {}

    def hand_over(self, message: str) -> bool:
        """Give `message` to a window that runs already; False when there is none.

        Called before anything is shown, so it may wait a moment for the answer.
        """
        socket = QLocalSocket()
        socket.connectToServer(self._name)
        if not socket.waitForConnected(_WAIT_MS):
            return False
        socket.write(message.encode() + b"\n")
        sent = socket.waitForBytesWritten(_WAIT_MS)
        socket.disconnectFromServer()
        return sent

    def listen(self) -> bool:
        """Be the one window from now on; a socket left behind by a crash is replaced."""
        if self._server.listen(self._name):
            return True
        QLocalServer.removeServer(self._name)
        if self._server.listen(self._name):
            return True
        log.info("no single instance", error=self._server.errorString())
        return False

    def close(self) -> None:
        """Stop listening."""
        self._server.close()

    def _on_connection(self) -> None:
        while (socket := self._server.nextPendingConnection()) is not None:
            self._received[socket] = b""
            socket.readyRead.connect(self._on_ready)
            socket.disconnected.connect(self._on_gone)
            self._read(socket)

    def _on_ready(self) -> None:
        socket = self.sender()
        if isinstance(socket, QLocalSocket):
            self._read(socket)

    def _read(self, socket: QLocalSocket) -> None:
        if socket not in self._received:
            return
        data = self._received[socket] + bytes(socket.readAll().data())
        self._received[socket] = data
        if len(data) > _MOST_BYTES:
            self._received.pop(socket)
            socket.abort()
        elif b"\n" in data:
            self._received.pop(socket)
            line = data.partition(b"\n")[0]
            self.messageReceived.emit(line.decode(errors="replace").strip())

    def _on_gone(self) -> None:
        socket = self.sender()
        if isinstance(socket, QLocalSocket):
            self._received.pop(socket, None)
            socket.deleteLater()
