"""The messages between a runner and a performer, and the socket that carries them."""

import socket
from contextlib import suppress
from typing import Any

import msgspec

from litejobs.job import Outcome, StoredJob
from litejobs.performers.manifest import Manifest

_LENGTH = 4  # bytes before each message


class Start(msgspec.Struct, frozen=True, tag=True):
    """To the performer, first: which app to load, and as which worker."""

    app: str | None  # MODULE[:NAME]; None: the default manager
    root: str  # the project's directory, made importable
    database: str | None  # what the default manager uses; None with an app
    group: int  # which of the app's groups
    log_level: int
    hint: str = ""  # the app that other jobs in the database belong to


class Ready(msgspec.Struct, frozen=True, tag=True):
    """To the runner: the app is loaded."""

    manifest: Manifest


class Broken(msgspec.Struct, frozen=True, tag=True):
    """To the runner: the app does not load; the performer ends."""

    reason: str
    final: bool = False  # there is no such app: to try again is of no use


class Perform(msgspec.Struct, frozen=True, tag=True):
    """To the performer: a job to run."""

    job: StoredJob


class Done(msgspec.Struct, frozen=True, tag=True):
    """To the runner: what became of that job."""

    outcome: Outcome


Message = Start | Ready | Broken | Perform | Done
_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Message)


class Channel:
    """One end of the socket; messages arrive whole and in order."""

    def __init__(self, end: socket.socket) -> None:
        self._socket = end
        self._buffer = bytearray()

    def fileno(self) -> int:
        return self._socket.fileno()

    def send(self, message: Any) -> None:
        """Raises OSError if the other side is gone."""
        data = _encoder.encode(message)
        self._socket.sendall(len(data).to_bytes(_LENGTH, "big") + data)

    def receive(self) -> Message | None:
        """Wait for the next message; None when the other side is gone."""
        while (message := self._next()) is None:
            if not self._fill():
                return None
        return message

    def arrived(self) -> tuple[list[Message], bool]:
        """After the socket became readable: the messages that are whole, and whether it is open."""
        is_open = self._fill()
        messages = []
        while (message := self._next()) is not None:
            messages.append(message)
        return messages, is_open

    def shut(self) -> None:
        """Send no more; the other side hears the end of the stream."""
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        self._socket.close()

    def _fill(self) -> bool:
        try:
            data = self._socket.recv(65536)
        except ConnectionError:
            return False
        self._buffer += data
        return bool(data)

    def _next(self) -> Message | None:
        if len(self._buffer) < _LENGTH:
            return None
        end = _LENGTH + int.from_bytes(self._buffer[:_LENGTH], "big")
        if len(self._buffer) < end:
            return None
        data = bytes(self._buffer[_LENGTH:end])
        del self._buffer[:end]
        message: Message = _decoder.decode(data)
        return message
