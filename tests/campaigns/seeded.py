"""
Seeded bugs: each guard of the promises is broken in turn, and the test named for it must fail.

    python tests/campaigns/seeded.py --seed 1

The bugs stand in bugs.toml. For each the package and its tests are copied, the change is made there
and the named test is run in a process of its own. A bug is caught where that test fails, or does
not end; it survives where the test passes. That the tests pass without any bug is looked at first.
Exit code 1 if a bug survived, a change does not fit the source, or a test is not there.

``--break harmless`` shows that the campaign can fail: there every change leaves the text as it is.
"""

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import tomllib
from dataclasses import dataclass, replace
from pathlib import Path

ROOT = Path(__file__).parents[2]
COPIED = ("litejobs", "tests", "pyproject.toml")
FAILED = 1  # what pytest exits with where tests have failed; more says that it could not run them
DEADLINE = 120  # seconds that the test of one bug may take
BROKEN = ("harmless",)


class MisfitError(Exception):
    """A bug of the table does not fit the source or the tests any more."""


@dataclass(frozen=True)
class Bug:
    """One change of the product, and who must notice it."""

    name: str
    breaks: str  # what is true no longer
    file: str  # under litejobs/
    text: str  # stands there exactly once
    becomes: str
    test: str  # under tests/

    def seed(self, directory):
        """Make the change in a copy of the project; raises MisfitError."""
        file = directory / "litejobs" / self.file
        source = file.read_text("utf-8")
        if (count := source.count(self.text)) != 1:
            raise MisfitError(f"{self.name}: its text stands {count} times in {self.file}")
        file.write_text(source.replace(self.text, self.becomes), "utf-8")


def bugs():
    """The table of them."""
    with Path(__file__).with_name("bugs.toml").open("rb") as file:
        return [Bug(**fields) for fields in tomllib.load(file)["bug"]]


def harmless(bug):
    """The bug without its change."""
    return replace(bug, becomes=bug.text)


def copy(source, directory):
    """The project, with what Python has compiled of it: whatever is changed has another time."""
    for name in COPIED:
        if (source / name).is_dir():
            shutil.copytree(source / name, directory / name)
        else:
            shutil.copy2(source / name, directory / name)


def environment(directory):
    """One in which the copy of the package is imported, by every process of its tests."""
    return os.environ | {"PYTHONPATH": str(directory)}


def check_import(directory):
    """Raises MisfitError unless it is the copy that is tested."""
    command = [sys.executable, "-c", "import litejobs; print(litejobs.__file__)"]
    found = subprocess.check_output(
        command, cwd=directory / "tests", env=environment(directory), text=True
    ).strip()
    if found != str(directory / "litejobs" / "__init__.py"):
        raise MisfitError(f"not the copy is imported, but {found}")


def run_tests(directory, tests, seed, deadline):
    """Run *tests* of a copy; pytest's exit code (None: they did not end) and its last lines."""
    command = [sys.executable, "-m", "pytest", "-n", "0", "-x", "-q", "-p", "no:cacheprovider"]
    command += [f"--hypothesis-seed={seed}", *(f"tests/{test}" for test in tests)]
    with subprocess.Popen(
        command, cwd=directory, env=environment(directory), text=True, start_new_session=True,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    ) as process:  # fmt: skip
        try:
            printed, _ = process.communicate(timeout=deadline)
            code = process.returncode
        except subprocess.TimeoutExpired:
            printed, code = "", None
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
    return code, "\n".join(printed.splitlines()[-25:])


class Campaign:
    """Seeds the *bugs*, each in a fresh copy below *directory*."""

    def __init__(self, directory, bugs, options):
        self.directory = Path(directory).resolve()
        self.bugs = bugs
        self.options = options
        self.caught, self.hung, self.survivors, self.misfits = [], [], [], []

    def run(self):
        sound = self.directory / "sound"
        sound.mkdir()
        copy(ROOT, sound)
        try:
            self.check_sound(sound)
        except MisfitError as error:
            self.misfits.append(str(error))
            return
        for bug in self.bugs:
            with tempfile.TemporaryDirectory(dir=self.directory) as broken:
                copy(sound, Path(broken))
                self.try_one(bug, Path(broken))

    def check_sound(self, directory):
        """Raises MisfitError unless every named test is there and passes without a bug."""
        check_import(directory)
        tests = sorted({bug.test for bug in self.bugs})
        code, printed = run_tests(directory, tests, self.options.seed, len(tests) * DEADLINE)
        if code != 0:
            raise MisfitError(f"the tests are not green without a bug:\n{printed}")

    def try_one(self, bug, directory):
        began = time.monotonic()
        try:
            bug.seed(directory)
        except MisfitError as error:
            self.misfits.append(str(error))
            return
        code, printed = run_tests(directory, [bug.test], self.options.seed, DEADLINE)
        seconds = time.monotonic() - began
        if code == 0:
            what = self.survivors
        elif code is None or code < 0 or code == FAILED:
            what = self.caught
        else:
            what = self.misfits
            print(printed)
        what.append(bug.name)
        if code is None:
            self.hung.append(bug.name)
        word = {0: "SURVIVED", None: "caught: hangs", FAILED: "caught"}.get(code, f"exit {code}")
        print(f"{word:13} {seconds:5.1f} s  {bug.name}: {bug.test}", flush=True)

    def report(self):
        return {
            "seeded": len(self.bugs),
            "caught": len(self.caught),
            "of these by a test that did not end": len(self.hung),
            "survivors": self.survivors,
            "misfits": self.misfits,
        }


def is_kept(report):
    """Whether every bug was caught by the test that is named for it."""
    return report["caught"] == report["seeded"]


def parse(words=None):
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    names = [bug.name for bug in bugs()]
    parser.add_argument("--only", metavar="NAME", choices=names, action="append", help="those bugs")
    parser.add_argument("--seed", type=int, default=random.randrange(10**6), help="of hypothesis")
    parser.add_argument("--break", dest="breaks", choices=BROKEN)
    return parser.parse_args(words)


def main(words=None):
    """Seed the bugs and print the report; whether every one was caught."""
    options = parse(words)
    chosen = [bug for bug in bugs() if not options.only or bug.name in options.only]
    if options.breaks == "harmless":
        chosen = [harmless(bug) for bug in chosen]
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="campaign-") as directory:
        campaign = Campaign(directory, chosen, options)
        campaign.run()
    seconds = round(time.monotonic() - began)
    report = campaign.report() | {"seconds": seconds, "seed": options.seed}
    print(json.dumps(report))
    return report


if __name__ == "__main__":
    sys.exit(0 if is_kept(main()) else 1)
