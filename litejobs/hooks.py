"""Functions that run around jobs: those of a manager, for all its jobs, and those of one job."""

import inspect
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, TypeVar

from litejobs.errors import ConfigurationError
from litejobs.rules.error_text import describe
from litejobs.rules.text import printable, printable_lines

H = TypeVar("H", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class JobCall:
    """A call of ``later`` whose job is about to be stored: what before_schedule hooks get."""

    name: str  #: the function's name
    args: tuple[Any, ...]  #: the very values that were passed
    kwargs: Mapping[str, Any]  #: the very values that were passed
    queue: str  #: the queue's name
    priority: int  #: lower runs first
    run_at: datetime  #: when it will be due, in UTC


@dataclass(frozen=True, slots=True)
class JobRun:
    """One run of a job: what all other hooks get."""

    id: int  #: the job's id, as ``later`` returned it
    name: str  #: the function's name
    args: tuple[Any, ...]  #: what the function is called with
    kwargs: Mapping[str, Any]  #: what the function is called with
    queue: str  #: the queue in which it was stored
    attempts: int  #: how often the job was begun, this run included
    max_attempts: int  #: runs in all that it may take
    result: Any = None  #: once it has ended: what the function returned
    error: BaseException | None = None  #: once it has ended: what it raised, or why it died
    seconds: float = 0.0  #: once it has ended: how long it took


Hook = Callable[[JobRun], object]
ScheduleHook = Callable[[JobCall], object]
AroundHook = Callable[[JobRun], AbstractContextManager[object]]
#: What a job runs inside of.
Around = Callable[[], AbstractContextManager[object]]


class HookPoint(Generic[H]):
    """The functions for one moment, in their order. A decorator: calling it adds one."""

    def __init__(self, name: str, owner: "Hooks") -> None:
        self.name = name
        self._functions: list[H] = []
        self._owner = owner

    def __call__(self, function: H) -> H:
        """Add *function*, and return it. Raises ConfigurationError for what is no hook."""
        check_hook(self.name, function)
        self._functions.append(function)
        self._owner.size += 1
        return function

    def __iter__(self) -> Iterator[H]:
        return iter(self._functions)

    def __bool__(self) -> bool:
        return bool(self._functions)


class Hooks:
    """All the functions of one manager, or of one job."""

    def __init__(self) -> None:
        #: How many functions there are.
        self.size = 0
        self.before_schedule: HookPoint[ScheduleHook] = HookPoint("before_schedule", self)
        self.before_perform: HookPoint[Hook] = HookPoint("before_perform", self)
        self.around_perform: HookPoint[AroundHook] = HookPoint("around_perform", self)
        self.after_perform: HookPoint[Hook] = HookPoint("after_perform", self)
        self.after_success: HookPoint[Hook] = HookPoint("after_success", self)
        self.after_error: HookPoint[Hook] = HookPoint("after_error", self)
        self.after_failure: HookPoint[Hook] = HookPoint("after_failure", self)

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> "Hooks":
        """Those among a job's *options*, functions or lists of them; raises ConfigurationError."""
        hooks = cls()
        for name in POINTS:
            given = options.get(name, ())
            for function in given if isinstance(given, list | tuple) else (given,):
                getattr(hooks, name)(function)
        return hooks


NONE = Hooks()  # of a function that nobody declared
#: The names of the moments.
POINTS = tuple(name for name, point in vars(NONE).items() if isinstance(point, HookPoint))
#: Which of them come after a run, in this order, by the kind of its outcome.
AFTER = {
    "success": ("after_perform", "after_success"),
    "error": ("after_perform", "after_error"),
    "failure": ("after_perform", "after_error", "after_failure"),
    "cancelled": ("after_perform",),
    "snoozed": ("after_perform",),
}


def check_hook(name: str, function: object) -> None:
    """Refuse what cannot be a hook of that name."""
    if not callable(function) or inspect.iscoroutinefunction(function):
        raise ConfigurationError(
            f"{name} must be a function made by def, with one parameter; got {function!r}"
        )
    if inspect.isgeneratorfunction(function):
        raise ConfigurationError(
            f"{name} must not be a generator function, which would not run; got {function!r}"
            + (": put @contextmanager on it" if name == "around_perform" else "")
        )


class Chain:
    """
    What runs around the jobs of one function: its manager's hooks, and its own inside of those.

    So on the way in the manager's come first, on the way out last.
    """

    def __init__(self, manager: Hooks, own: Hooks) -> None:
        self._before = [*manager.before_perform, *own.before_perform]
        self._around = [*manager.around_perform, *own.around_perform]
        self._after = {
            name: [*getattr(own, name), *getattr(manager, name)]
            for name in POINTS
            if name.startswith("after_")
        }

    @property
    def has_failure_hooks(self) -> bool:
        """Whether there are after_failure hooks."""
        return bool(self._after["after_failure"])

    @contextmanager
    def inside(self, around: Around, run: JobRun) -> Iterator[None]:
        """While inside, the function runs; what a hook raises, the job has raised."""
        with around():
            for hook in self._before:
                hook(run)
            with ExitStack() as stack:
                for hook in self._around:
                    stack.enter_context(hook(run))
                yield

    def after(
        self, names: Sequence[str], around: Around, run: JobRun, logger: logging.Logger
    ) -> None:
        """Run the hooks of these *names* in turn; what they raise is logged, no more."""
        hooks = [(name, hook) for name in names for hook in self._after[name]]
        if not hooks:
            return
        try:
            with around():
                for name, function in hooks:
                    _call(name, function, run, logger)
        except BaseException as error:  # noqa: BLE001  # of the surroundings
            _tell(logger, f"what surrounds the hooks of job {run.id} {run.name}", error)


def _call(name: str, hook: Hook, run: JobRun, logger: logging.Logger) -> None:
    try:
        hook(run)
    except BaseException as error:  # noqa: BLE001  # it may leave by SystemExit
        of = getattr(hook, "__name__", repr(hook))
        _tell(logger, f"{name} {of} of job {run.id} {run.name}", error)


def _tell(logger: logging.Logger, what: str, error: BaseException) -> None:
    with suppress(Exception):  # a filter of the app's may raise
        logger.error("%s raised %s", printable(what), printable_lines(describe(error)).rstrip())
