"""How the app is tested: ``python -m pytest`` in this folder."""

import pytest
from app import create_app

from litejobs import testing

from jobs import jobs, outbox, send_welcome_email


@pytest.fixture
def app(tmp_path):
    return create_app(instance_path=str(tmp_path), TESTING=True)


def test_a_sign_up_writes_the_welcome_mail(app):
    app.test_client().post("/", data={"name": "Ada", "address": "ada@example.org"})

    with app.app_context():
        assert "Welcome, Ada!" in (outbox() / "ada_example.org.txt").read_text()


def test_a_sign_up_schedules_the_mail_in_its_queue(app):
    with testing.manual(jobs) as stored:
        app.test_client().post("/", data={"name": "Ada", "address": "ada@example.org"})

        stored.assert_scheduled(send_welcome_email, ["Ada", "ada@example.org"], queue="email")
