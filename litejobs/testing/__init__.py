"""For tests of code that schedules jobs: the same way as in production, on temporary files."""

from litejobs.testing.clock import ManualClock
from litejobs.testing.modes import Jobs, manual, run_now
from litejobs.testing.storage import Call

__all__ = ["Call", "Jobs", "ManualClock", "manual", "run_now"]
