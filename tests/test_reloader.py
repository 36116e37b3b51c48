"""What an attached worker asks about the program that it lives in."""

import gc
import sys

from litejobs.reloader import is_reloader_parent


def test_no_garbage_is_collected_while_the_interpreter_makes_the_frames(monkeypatch):
    seen = []

    def current_frames():
        seen.append(gc.isenabled())
        return {}

    monkeypatch.setattr(sys, "_current_frames", current_frames)

    assert not is_reloader_parent()
    assert (seen, gc.isenabled()) == ([False], True)


def test_an_app_that_collects_no_garbage_goes_on_so():
    gc.disable()
    try:
        is_reloader_parent()

        assert not gc.isenabled()
    finally:
        gc.enable()


def test_asking_again_and_again_while_others_leave_garbage_hangs_nothing(project):
    project.write("asks.py", """
        import gc, threading

        from litejobs.reloader import is_reloader_parent

        class Cycle:
            def __init__(self):
                self.self, self.local = self, threading.local()
                self.local.value = 1

        end = threading.Event()
        for _ in range(8):
            threading.Thread(target=end.wait, daemon=True).start()
        gc.set_threshold(40, 10, 10)
        for _ in range(500):
            for _ in range(50):
                Cycle()
            is_reloader_parent()
        print("asked")
    """)  # fmt: skip

    assert project.run("asks.py").out == "asked\n"
