"""The numbers and words that hold where nobody chose others, each with its unit and source."""

# Redwood Background Jobs 8.1, "JobManager" and "createJob".
QUEUE = "default"
PRIORITY = 50  # lower runs first
WORK_QUEUE = "*"  # every queue
COUNT = 1  # workers of a group
MAX_ATTEMPTS = 24  # runs in all, the first one included
MAX_RUNTIME = 14_400  # seconds
SLEEP_DELAY = 5.0  # seconds between looks of an idle worker that nobody wakes
DELETE_SUCCESSFUL_JOBS = True
DELETE_FAILED_JOBS = False

# Redwood Background Jobs 8.1, "Job Errors & Failure"; the cap is ours: the formula has none.
BACKOFF_EXPONENT = 4
MAX_BACKOFF = 7 * 24 * 3600  # seconds

END_OF_TIME = 253_402_300_799_999  # the last millisecond of the year 9999

KEEP_RESULT = 24 * 3600  # seconds that a result is kept

TABLE = "background_jobs"
MAX_ARGUMENTS = 1024 * 1024  # bytes of JSON in one job
MAX_ERROR = 8 * 1024  # bytes of UTF-8 kept of an error

MAX_CRASHES = 3  # runs of a job in which a process died, until it is not tried again
CODE_PAUSE = 5.0  # seconds between two looks whether code has changed, while jobs do not load
CANCEL_PAUSE = 1.0  # seconds between two looks whether running jobs were asked to end
RECOVERY_PAUSE = 1.0  # seconds between two looks whether the workers of running jobs live
PROGRESS_PAUSE = 1.0  # seconds between two writes of how far a job says that it is
MAX_NOTE = 1024  # bytes of UTF-8 kept of a note on its progress

LOCK_PATIENCE = 5.0  # seconds that a statement waits for another connection's write lock
LOCK_WARNING = 1.0  # seconds of those after which that is said
PROMOTION_BATCH = 1_000  # scheduled jobs made ready in one transaction
CHANGE_BATCH = 1_000  # jobs that one of many transactions changes: retry, cancel, sweep
CHANGE_PAUSE = 0.002  # seconds between two of those: others try again sooner for the write lock
KEEP_SUCCEEDED = 7 * 24 * 3600  # seconds that rows of successes stay, where they stay at all
SWEEP_PAUSE = 60.0  # seconds between two looks whether jobs were kept long enough
SWEEP_REST = 0.1  # seconds between two batches of those

CHUNK_TIME = 0.0025  # seconds that the jobs of one chunk should take together
CHUNK_JOBS = 256  # jobs of one chunk at most
CHUNK_BYTES = 32 * 1024  # of handlers in one chunk; a single job may have more
AHEAD = 0.01  # seconds that jobs may take for a next chunk to wait at hand
LOOK_PAUSE = 0.1  # seconds between two looks for the end of a job that nobody tells of
SILENCE = 0.005  # seconds after which it is looked whether a job holds up those found with it

TIMEOUT_GRACE = 2.0  # seconds after max_runtime, or a cancel, until a job that goes on is killed
STOP_TIMEOUT = 8.0  # seconds that SIGTERM gives running jobs: below the 10 of container runtimes
STOP_PATIENCE = 30.0  # seconds that ``stop`` gives running jobs before it kills them
EXIT_PATIENCE = 5.0  # seconds that a program's end waits for the jobs of its background threads
FORK_PAUSE = 0.5  # seconds in which a forked server worker gives up rights, before it works
LAST_WORDS = 0.5  # seconds for a process that has closed its connection to leave its exit code
FAREWELL = 2.0  # seconds that an idle performer has to end by itself
READINESS = 60.0  # seconds that a performer may take to load its app
RESTART_BACKOFF = (0.1, 30.0)  # seconds between two starts of a performer that dies: first, longest
RECORDING_BACKOFF = (0.1, 2.0)  # seconds between two tries to record outcomes: first, longest

LOG_SIZE = 10 * 1024 * 1024  # bytes of a daemon's log before it is rotated
LOG_COUNT = 5  # rotated logs that are kept
PRINTED_RATE = 256 * 1024  # bytes that one worker's jobs may print into the log in a second
PRINTED_LINE = 8 * 1024  # bytes; a longer line becomes several

CATCH_UP = 100  # missed runs of a schedule that are made at most, where all are wanted
MISSED = 60_000  # milliseconds after which a time at which a schedule made no run counts as missed
FIRE_BATCH = 500  # schedules that make their runs in one transaction
