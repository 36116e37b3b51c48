"""The app's background jobs: kept apart from the views, which import them."""

import re
from pathlib import Path

from flask import current_app

from litejobs import current_job
from litejobs.integrations.flask import LiteJobs

jobs = LiteJobs(queues=["default", "email"])
later = jobs.later


def outbox() -> Path:
    """The folder of the letters; each job runs inside an app context, as a view does."""
    folder = Path(current_app.instance_path, "outbox")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@jobs.job(queue="email")
def send_welcome_email(name: str, address: str) -> None:
    """Write the letter to a folder; running twice writes the same file again."""
    job = current_job()
    file_name = re.sub(r"[^\w.-]", "_", address)
    letter = f"To: {address}\n\nWelcome, {name}!\n\n(job {job.id if job else '-'})\n"
    (outbox() / f"{file_name}.txt").write_text(letter, encoding="utf-8")
