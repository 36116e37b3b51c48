from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from msgspec import Struct

from litejobs import handler
from litejobs.arguments import Parameters, parameters_of
from litejobs.errors import UnloadableError
from litejobs.job import Job
from litejobs.row import Handler, read


class Call(Struct, frozen=True):
    """A stored job brought to life: what to call, with what, and what the job says of itself."""

    name: str
    function: Callable[..., Any]
    args: list[Any]
    kwargs: dict[str, Any]
    own_limits: Mapping[str, Any]
    keep_result: float | None = None  # seconds; None: what it returns is not kept
    job: Job[..., Any] | None = None  # the function as it was declared, if it was


class Found(NamedTuple):
    """What a row names, as it is needed for each call."""

    function: Callable[..., Any]
    parameters: Parameters
    own_limits: Mapping[str, Any]
    job: Job[..., Any] | None


class Loader:
    """
    From a row's handler to a call. What has loaded once is kept.

    *declared* are the jobs of the manager, by path and name. *root* is the project whose plain
    functions may be called too; None with an app, where a row can only name a declared job.
    *app* is the one that a row without a module belongs to, as far as it is known.
    """

    def __init__(
        self,
        declared: Mapping[tuple[str, str], Job[..., Any]],
        root: Path | None = None,
        app: str = "",
    ) -> None:
        self._app = app
        self._declared = declared
        self._root = root
        self._found: dict[tuple[str, str, str | None], Found] = {}

    def load(self, text: str) -> Call:
        """Raises UnloadableError if the row names nothing that can be called here."""
        row = read(text)
        key = (row.path, row.name, row.module)
        found = self._found.get(key)
        if found is None:
            found = self._found[key] = self._find(row)
        args, kwargs = found.parameters.load(row.args, row.kwargs)
        return Call(
            row.name, found.function, args, kwargs, found.own_limits, row.keep_result, found.job
        )

    def own_limits(self, text: str) -> Mapping[str, Any]:
        """What the job of a row declared for itself, as far as that is known without loading it."""
        try:
            row = read(text)
        except UnloadableError:
            return {}
        declared = self._declared.get((row.path, row.name))
        if declared is None and self._root is None:
            declared = handler.declared_as(row, self._declared)
        return {} if declared is None else declared.own_limits

    def _find(self, row: Handler) -> Found:
        found = self._look_up(row)
        if isinstance(found, Job):
            return Found(found.perform, parameters_of(found.perform), found.own_limits, found)
        return Found(found, parameters_of(found), {}, None)

    def _look_up(self, row: Handler) -> Callable[..., Any]:
        if self._root is None:
            return handler.find_declared(row, self._declared)
        found = handler.load(row, self._root, self._app)
        return self._declared.get((row.path, row.name), found)
