"""Drains the app's jobs on a background thread of this process."""

import time

from benchmarks.app import jobs


def main() -> None:
    """Work until no job is due any more."""
    worker = jobs.start_background_worker()
    storage = jobs.adapter(None)
    while storage.is_due(["*"]):
        time.sleep(0.01)
    worker.stop()


if __name__ == "__main__":
    main()
