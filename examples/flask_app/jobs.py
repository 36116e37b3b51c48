"""The app's background jobs: kept apart from the views, so that a worker needs no web server."""

import os
import re
from pathlib import Path

from litejobs import JobManager, SqliteAdapter, current_job

HERE = Path(__file__).resolve().parent
DATA = Path(os.environ.get("SIGNUP_DATA", HERE / "data"))
OUTBOX = DATA / "outbox"
OUTBOX.mkdir(parents=True, exist_ok=True)

jobs = JobManager(
    adapters={"sqlite": SqliteAdapter(DATA / "jobs.sqlite")},
    queues=["default", "email"],
)
later = jobs.create_scheduler()


@jobs.job(queue="email")
def send_welcome_email(name: str, address: str) -> None:
    """Write the letter to a folder; running twice writes the same file again."""
    job = current_job()
    file_name = re.sub(r"[^\w.-]", "_", address)
    letter = f"To: {address}\n\nWelcome, {name}!\n\n(job {job.id if job else '-'})\n"
    (OUTBOX / f"{file_name}.txt").write_text(letter, encoding="utf-8")
