"""How many jobs of one kind may run at once."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from litejobs.config import check_whole
from litejobs.errors import ConfigurationError, SchedulingError, quoted

_MOST = 1_000_000  # at once
_LONGEST = 255  # characters of a key


@dataclass(frozen=True, slots=True)
class Limit:
    """
    At most *at_once* jobs with the same key run at once; the others wait, and nothing fails.

    *key* is called by ``later`` with the job's arguments and gives a text of at most 255
    characters, or None for a call that has no limit. Jobs that give the same text share its places.
    Without it all calls of the job have one key.

    Raises ConfigurationError when an option is not of its kind.
    """

    at_once: int
    key: Callable[..., str | None] | None = None

    def __post_init__(self) -> None:
        check_whole("limit", self.at_once, at_least=1, at_most=_MOST)
        if self.key is not None and not callable(self.key):
            raise ConfigurationError(
                f"key of a limit must be a function of the job's arguments, got {quoted(self.key)}"
            )

    @classmethod
    def of(cls, limit: "int | Limit | None") -> "Limit | None":
        """The limit that a job declares, or one made of its number."""
        return limit if isinstance(limit, cls | None) else cls(limit)  # type: ignore[arg-type]

    def key_of(
        self, name: str, path: str, args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> str | None:
        """
        The key of a call of the job *name* in the file *path*.

        Raises SchedulingError if its function goes wrong, or gives what is none.
        """
        if self.key is None:
            return f"{path}:{name}"
        try:
            key = self.key(*args, **kwargs)
        except Exception as error:
            raise SchedulingError(
                f"the key of the limit of {name} raised {type(error).__name__}: {error}"
            ) from error
        if key is not None and not (isinstance(key, str) and 0 < len(key) <= _LONGEST):
            raise SchedulingError(
                f"the key of the limit of {name} must be a text of 1 to {_LONGEST} characters, "
                f"got {quoted(key)}"
            )
        return key
