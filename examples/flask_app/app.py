"""
A sign-up form that answers at once; the welcome mail is written in the background.

    cd examples/flask_app
    flask run                                        # jobs run on a thread of the server

    FLASK_LITEJOBS_WORKER=process flask run          # or in a process of its own

    FLASK_LITEJOBS_WORKER=null flask run             # or by whoever you start:
    flask jobs work                                  # ... in a second terminal
"""

from flask import Flask, Response, redirect, render_template_string, request

from jobs import jobs, later, outbox, send_welcome_email

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


def create_app(instance_path: str | None = None, **config: object) -> Flask:
    """Make the app; *config* goes before FLASK_... in the environment."""
    app = Flask(__name__, instance_path=instance_path)
    app.config["LITEJOBS_WORKER"] = "thread"
    app.config.from_prefixed_env()
    app.config.update(config)
    jobs.init_app(app)

    @app.get("/")
    def form() -> str:
        """Show the form and which mails are there."""
        return render_template_string(PAGE, mails=sorted(mail.stem for mail in outbox().iterdir()))

    @app.post("/")
    def sign_up() -> Response:
        """Store the job and answer; nobody waits for the mail."""
        later(send_welcome_email, [request.form["name"], request.form["address"]])
        return redirect("/", code=303)

    return app
