"""
A sign-up form that answers at once; the welcome mail is written in the background.

    cd examples/flask_app
    flask run                                        # jobs run on a thread of the server

    SIGNUP_WORKER=process flask run                  # or by a worker process:
    litejobs work                                    # ... in a second terminal
"""

import os

from flask import Flask, Response, redirect, render_template_string, request

from jobs import OUTBOX, jobs, later, send_welcome_email

PAGE = """
<!doctype html>
<title>Sign up</title>
<style>body { font: 1.1em sans-serif; max-width: 30em; margin: 3em auto }</style>
<h1>Sign up</h1>
<form method="post" action="/">
  <input name="name" placeholder="Name" required>
  <input name="address" type="email" placeholder="E-mail" required>
  <button>Sign up</button>
</form>
<h2>Mails written</h2>
<ul>{% for mail in mails %}<li>{{ mail }}</li>{% else %}<li>none yet</li>{% endfor %}</ul>
"""

app = Flask(__name__)
if os.environ.get("SIGNUP_WORKER", "thread") == "thread":
    jobs.start_background_worker()


@app.get("/")
def form() -> str:
    """Show the form and which mails are there."""
    return render_template_string(PAGE, mails=sorted(mail.stem for mail in OUTBOX.iterdir()))


@app.post("/")
def sign_up() -> Response:
    """Store the job and answer; nobody waits for the mail."""
    later(send_welcome_email, [request.form["name"], request.form["address"]])
    return redirect("/", code=303)
