import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from litejobs.stop import Stop, Wish

_PATIENT, _DRAINING, _NOW = (signal.SIGINT,), (signal.SIGTERM, signal.SIGHUP), (signal.SIGQUIT,)
#: By which ``litejobs stop`` asks a daemon to drain: two who say it are no second signal.
DRAIN = signal.SIGUSR1


class Received:
    """The last signal that asked to stop, for the exit code."""

    number = 0


@contextmanager
def stop_on_signals(
    stop: Stop, stop_timeout: float, hangup: Wish | None = None
) -> Iterator[Received]:
    """
    While inside, signals become requests to *stop*; handlers only set flags.

    SIGINT drains without limit, SIGTERM and SIGHUP for *stop_timeout* seconds, a second signal or
    SIGQUIT stops at once. With *hangup*, of a daemon, SIGHUP is a request of that instead, and
    DRAIN drains without limit however often it comes. Afterwards they are ignored: the process is
    about to end, and a late one must not change how.
    """
    received = Received()

    def on_signal(number: int, _frame: FrameType | None) -> None:
        received.number = number
        if number in _DRAINING:
            signal.setitimer(signal.ITIMER_REAL, stop_timeout)
        if number in _NOW:
            stop.request()
        stop.request()

    def on_alarm(_number: int, _frame: FrameType | None) -> None:
        stop.request()

    def on_hangup(_number: int, _frame: FrameType | None) -> None:
        assert hangup is not None
        hangup.request()

    def on_drain(_number: int, _frame: FrameType | None) -> None:
        if not stop.requested:
            stop.request()

    # Ignored by whoever started us, it would keep the ends of performers from us.
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    # What was ignored when we started stays ignored: nohup, and jobs of a shell in the background.
    heeded = [n for n in _PATIENT + _DRAINING + _NOW if signal.getsignal(n) != signal.SIG_IGN]
    handlers = {**dict.fromkeys(heeded, on_signal), signal.SIGALRM: on_alarm}
    handlers |= {} if hangup is None else {signal.SIGHUP: on_hangup, DRAIN: on_drain}
    for number, handler in handlers.items():
        signal.signal(number, handler)
    try:
        yield received
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number in handlers:
            signal.signal(number, signal.SIG_IGN)


def heed_all() -> None:
    """Undo what whoever started a daemon ignored or held off: it was about themselves."""
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    for number in _PATIENT + _DRAINING + _NOW:
        signal.signal(number, signal.SIG_DFL)


def follow(leash: int) -> None:
    """
    Raise the signals whose numbers, a byte each, come through *leash*, a pipe; at its end SIGTERM.

    So a parent can stop its child before that has handlers, and by its own death. Call it when the
    handlers are there.
    """

    def listen() -> None:
        while data := os.read(leash, 1):
            os.kill(os.getpid(), data[0])
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=listen, name="litejobs-leash", daemon=True).start()
