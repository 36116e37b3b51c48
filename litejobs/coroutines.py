"""Where ``async def`` jobs run."""

import asyncio
import contextvars
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, TypeVar

T = TypeVar("T")


class EventLoop:
    """One loop for the coroutines of an executor, one after the other, until it is closed."""

    def __init__(self) -> None:
        self._runner = asyncio.Runner()

    def run(
        self, coroutine: Coroutine[Any, Any, T], begun: Callable[[asyncio.Task[Any]], None]
    ) -> T:
        """Run *coroutine* to its end; *begun* is told its task."""
        # The loop would else keep the context of its first job.
        where = contextvars.copy_context()
        return _not_within_a_loop(partial(self._runner.run, _told(coroutine, begun), context=where))

    def close(self) -> None:
        """End the loop and what still runs on it."""
        _not_within_a_loop(self._runner.close)


async def _told(coroutine: Coroutine[Any, Any, T], begun: Callable[[asyncio.Task[Any]], None]) -> T:
    task = asyncio.current_task()
    assert task is not None
    begun(task)
    return await coroutine


def _not_within_a_loop(function: Callable[[], T]) -> T:
    """
    Call *function*, which runs a loop: on a thread beside this one where this one runs one already.

    A test mode runs jobs on the thread that called ``later``, in a coroutine maybe. No two loops
    can run on one thread.
    """
    if not _is_within_a_loop():
        return function()
    with ThreadPoolExecutor(1) as beside:
        return beside.submit(function).result()


def _is_within_a_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
