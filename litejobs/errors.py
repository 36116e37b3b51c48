"""
Every error that litejobs raises, one tree; and what it raises inside of jobs.

A job's own exception is data and in neither.
"""

_LONGEST_QUOTE = 60  # characters


def quoted(value: object) -> str:
    """
    A value that somebody passed, for the sentence that refuses it: short, and never an error.

    >>> quoted("x" * 100)
    "'xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx..."
    """
    try:
        text = repr(value)
    except Exception:  # noqa: BLE001  # the value's own class may raise anything
        return f"<{type(value).__name__}>"
    if len(text) > _LONGEST_QUOTE:
        text = f"{text[: _LONGEST_QUOTE - 3]}..."
    return text


class JobTimeout(BaseException):
    """
    Raised in a job, once, when its max_runtime is over; ``except Exception`` does not catch it.

    What ``finally`` and ``except JobTimeout`` do then has 2 seconds; whatever comes of it, the run
    is an error. Only in worker processes.
    """


class JobCancelled(BaseException):  # it is no error
    """
    Raised in a job, once, when somebody cancels it; ``except Exception`` does not catch it.

    What ``finally`` and ``except JobCancelled`` do then has 2 seconds. A job that returns has
    succeeded; one that raises, this or anything, is cancelled. Only in worker processes: on a
    thread it is for the job to look at ``current_job().is_cancelled``.
    """


class LitejobsError(Exception):
    """Something that litejobs refuses or cannot do; its text is one sentence for a person."""

    #: What the command line exits with when this error ends it.
    exit_code = 1


class ConfigurationError(LitejobsError, ValueError):
    """A setting, an option or an app is not what litejobs can use."""

    exit_code = 78


class UnusableAppError(ConfigurationError):
    """There is no such app, or it is none that this command can serve; no use to try again."""


class UsageError(LitejobsError, ValueError):
    """A command was given words that it does not take."""

    exit_code = 2


class AlreadyThereError(LitejobsError):
    """Something has the name of what was to be written; nothing was."""


class AlreadyRunningError(LitejobsError):
    """What was to be started is running."""


class NotRunningError(LitejobsError):
    """What was to be stopped is not running."""

    exit_code = 3


class KilledError(LitejobsError):
    """What was to be stopped did not end by itself, and was killed."""

    exit_code = 4


class SchedulingError(LitejobsError, ValueError):
    """A call of ``later`` was refused; nothing was stored."""

    exit_code = 2


class DuplicateJobError(SchedulingError):
    """A job with that key is there already, and the policy of the key is to raise."""


class JobFailedError(LitejobsError):
    """The job whose result is asked for did not succeed."""


class NoResultError(LitejobsError):
    """The job whose result is asked for is over, and no result of it was kept that can be read."""


class TransactionError(LitejobsError, ValueError):
    """
    A connection of the app's cannot take a job, or its end, into its transaction.

    Nothing was stored or settled.
    """


class JobDiedError(LitejobsError):
    """What after_failure hooks get of a job whose last run ended with its process; never raised."""


class UnloadableError(LitejobsError):
    """A stored job cannot be brought to life here: its function or its arguments do not load."""


class JobNotFoundError(LitejobsError, LookupError):
    """No job with that id, or no job in that queue, is stored."""


class ScheduleNotFoundError(LitejobsError, LookupError):
    """No schedule of that name is stored."""


class JobStateError(LitejobsError):
    """The job is in a state in which that cannot be done to it."""


class StorageError(LitejobsError):
    """The database did not do what was asked."""

    exit_code = 74


class DatabaseFileError(StorageError):
    """The file is not a database that litejobs can use as it is."""

    exit_code = 65


class DatabaseGoneError(DatabaseFileError):
    """The database was deleted, or replaced by another file, while it was in use."""


class DiskError(StorageError):
    """Reading or writing failed (disk full, I/O error); whether the write was stored is unknown."""


class DatabaseBusyError(StorageError):
    """
    Another connection held the write lock for longer than litejobs waits; nothing was stored.

    It is one of another program's, or of this very one, in a transaction that is still open.
    """
