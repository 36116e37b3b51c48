"""
Background jobs from a plain script, without any set-up.

    python examples/script.py        # stores two jobs and ends
    litejobs workoff                 # in another terminal, or later: runs what is due
"""

from datetime import UTC, datetime
from pathlib import Path

from litejobs import current_job, later

OUTBOX = Path(__file__).with_name("outbox.txt")


def send_welcome_email(user_id: int) -> None:
    """Stands for slow work: here the letter goes to a file."""
    job = current_job()
    attempt = job.attempts if job else 0
    with OUTBOX.open("a", encoding="utf-8") as outbox:
        outbox.write(f"{datetime.now(UTC):%H:%M:%S} welcome, user {user_id}! (attempt {attempt})\n")


if __name__ == "__main__":
    first = later(send_welcome_email, [335])
    second = later(send_welcome_email, [336], wait=2)
    print(
        f"stored job {first.id}, due now, and job {second.id}, due at {second.run_at:%H:%M:%S} UTC"
    )
