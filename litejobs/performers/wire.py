"""The messages between a runner and a performer, and the socket that carries them."""

import select
import socket
from contextlib import suppress
from threading import Lock
from typing import Literal

import msgspec

from litejobs import errors
from litejobs.errors import LitejobsError
from litejobs.job import Limits, Outcome, StoredJob
from litejobs.performers.manifest import Manifest
from litejobs.run_directory.lease import Slot

_LENGTH = 4  # bytes before each message
_LONGEST = 1 << 30  # bytes of a message; more is no message of ours
_SEND_PATIENCE = 1.0  # seconds for the other side, which is idle, to read

_READ = 65536  # bytes at a time
_READS = 64  # at once at most: more than a socket holds
#: Why nothing more arrives: the other side has closed, or what it sent is no message.
CLOSED, GARBLED = "closed", "garbled"


Task = Literal["perform", "work", "workoff", "clear"]


class Start(msgspec.Struct, frozen=True, tag=True):
    """To the performer, first: which app to load, and as which worker."""

    app: str | None  # MODULE[:NAME]; None: the default manager
    root: str  # the project's directory, made importable
    database: str | None  # what the default manager uses; None with an app
    group: int  # which of the app's groups
    log_level: int
    hint: str = ""  # the app that other jobs in the database belong to
    task: Task = "perform"
    id: int = 0  # which worker of the group, to work
    adapter: str | None = None  # which of the app's adapters, to clear
    limits: Limits = Limits()  # what the runner takes the group's to be
    max_jobs: int | None = None  # after so many it is replaced
    max_memory: int | None = None  # MiB; above them it is replaced
    tokens: int | None = None  # the descriptor of which it takes a byte for each job that it begins
    slot: Slot | None = None  # where it notes which job that is
    cancelled: Slot | None = None  # where it finds, at a SIGALRM, which job is to end


class Ready(msgspec.Struct, frozen=True, tag=True):
    """To the runner: the app is loaded, the task begins."""

    manifest: Manifest


class Broken(msgspec.Struct, frozen=True, tag=True):
    """To the runner: the app does not load or is not up to its task; the performer ends."""

    reason: str
    detail: str = ""  # the traceback
    kind: str = "ConfigurationError"  # of all that litejobs raises

    def error(self) -> LitejobsError:
        """As it was raised at the other side."""
        kind = getattr(errors, self.kind, None)
        if isinstance(kind, type) and issubclass(kind, LitejobsError):
            return kind(self.reason)
        return LitejobsError(self.reason)


class Perform(msgspec.Struct, frozen=True, tag=True):
    """To the performer: a chunk of jobs to run one after the other, each if it gets its token."""

    jobs: tuple[StoredJob, ...]


class Failed(msgspec.Struct, frozen=True, tag=True):
    """To an idle performer: that job has died for good of *error*; its hooks are to be run."""

    job: StoredJob
    error: str


class Mourned(msgspec.Struct, frozen=True, tag=True):
    """To the runner: the after_failure hooks of the job with that id have run."""

    id: int


class Begun(msgspec.Struct, frozen=True, tag=True):
    """To the runner: the job with that id begins, after a while or with limits of its own."""

    id: int
    limits: Limits


class Done(msgspec.Struct, frozen=True, tag=True):
    """
    To the runner: what became of the job with that id.

    Said of the last job that was run of a chunk, and of each whose outcome is not the usual
    success: before the token of the next is taken. Those before it of which nothing was said have
    ended with that.
    """

    id: int
    outcome: Outcome
    leaves: str = ""  # why the performer takes no more jobs and ends
    jobs: int = 1  # that it has run since it said this last, or began the chunk
    seconds: float = 0.0  # that those took


class Says(msgspec.Struct, frozen=True, tag=True):
    """To the runner: how far the job with that id says that it is."""

    id: int
    progress: str


class Cut(msgspec.Struct, frozen=True, tag=True):
    """To the runner: no token was left for a job of a chunk; the rest of that chunk is dropped."""


class Over(msgspec.Struct, frozen=True, tag=True):
    """To the runner: a worker's job has ended, and is to be recorded."""


class Leaves(msgspec.Struct, frozen=True, tag=True):
    """To the runner: a worker has recorded all that it had, and ends."""

    why: str


class Settled(msgspec.Struct, frozen=True, tag=True):
    """To the runner: jobs of a worker have these outcomes, and they are recorded."""

    outcomes: tuple[Outcome, ...]


class Idle(msgspec.Struct, frozen=True, tag=True):
    """To the runner: a worker has found nothing more to do, or was told to stop and does."""


class Look(msgspec.Struct, frozen=True, tag=True):
    """To an idle worker: there may be something to do again."""


class Cleared(msgspec.Struct, frozen=True, tag=True):
    """To the runner: so many jobs were deleted."""

    count: int


Message = (
    Start
    | Ready
    | Broken
    | Perform
    | Failed
    | Mourned
    | Begun
    | Done
    | Says
    | Cut
    | Over
    | Leaves
    | Settled
    | Idle
    | Look
    | Cleared
)
_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Message)


class Channel:
    """
    One end of the socket; messages arrive whole and in order.

    The performer's end blocks; the runner's does not, for a performer may do anything.
    """

    def __init__(self, end: socket.socket) -> None:
        self._socket = end
        self._buffer = bytearray()
        self._sending = Lock()  # a performer's watchdog speaks too

    def fileno(self) -> int:
        return self._socket.fileno()

    def send(self, message: Message) -> None:
        """Raises OSError if the other side is gone, or does not read for a second."""
        data = _encoder.encode(message)
        rest = memoryview(len(data).to_bytes(_LENGTH, "big") + data)
        with self._sending:
            while rest:
                try:
                    rest = rest[self._socket.send(rest) :]
                except BlockingIOError:
                    if not select.select([], [self._socket], [], _SEND_PATIENCE)[1]:
                        raise TimeoutError("the other side does not read") from None

    def receive(self) -> Message | None:
        """Wait for the next message; None when the other side is gone."""
        while (message := self._next()) is None:
            if self._fill()[1]:
                return None
        return message

    def arrived(self) -> tuple[list[Message], str]:
        """
        Without waiting: the messages that are whole, and why no more come (or an empty text).

        All that was sent before the call has then arrived.
        """
        for _ in range(_READS):
            size, end = self._fill()
            if size < _READ:
                break
        messages = []
        try:
            while (message := self._next()) is not None:
                messages.append(message)
        except msgspec.MsgspecError:
            end = GARBLED
        return messages, end

    def shut(self) -> None:
        """Send no more; the other side hears the end of the stream."""
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        self._socket.close()
        self._sending = Lock()  # in a forked child the one that held it is not there

    def _fill(self) -> tuple[int, str]:
        """Take in what has come: how many bytes, and why no more will, or an empty text."""
        try:
            data = self._socket.recv(_READ)
        except BlockingIOError:
            return 0, ""
        except ConnectionError:  # Linux: it closed while something sent to it was still unread
            return 0, CLOSED
        self._buffer += data
        return len(data), "" if data else CLOSED

    def _next(self) -> Message | None:
        if len(self._buffer) < _LENGTH:
            return None
        size = int.from_bytes(self._buffer[:_LENGTH], "big")
        if size > _LONGEST:
            raise msgspec.DecodeError(f"a message of {size} bytes")
        end = _LENGTH + size
        if len(self._buffer) < end:
            return None
        data = bytes(self._buffer[_LENGTH:end])
        del self._buffer[:end]
        message: Message = _decoder.decode(data)
        return message
