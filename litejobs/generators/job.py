"""``generate job``: a job in a module of its own, with its test, where workers find it."""

import builtins
import json
import keyword
import re
import unicodedata
from dataclasses import dataclass
from pathlib import Path

from litejobs.config import check_queue
from litejobs.errors import AlreadyThereError, ConfigurationError, UsageError
from litejobs.generators import layout
from litejobs.generators.changes import Changes
from litejobs.generators.templates import fill
from litejobs.performers.manifest import Home, Manifest
from litejobs.project import is_installed

_WORD_BEGINS = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_DEFAULT_HOME = Home("litejobs", "jobs", "", None)
_GOES_ON = (b"import ", b"from ", b"#")  # how a last line begins to which an import is simply added


@dataclass(frozen=True)
class JobName:
    """What a job is to be called, and the packages that it is to lie in."""

    packages: tuple[str, ...]
    name: str

    @classmethod
    def of(cls, text: str) -> "JobName":
        """
        From any usual spelling; raises UsageError if no job can be called so.

        >>> JobName.of("mailing/SendWelcomeEmailJob")
        JobName(packages=('mailing',), name='send_welcome_email')
        """
        *packages, last = (_snake_case(word) for word in text.split("/"))
        name = "" if last == "job" else last.removesuffix("_job")
        for word in (*packages, name):
            if not word.isidentifier() or word.startswith("_") or keyword.iskeyword(word):
                raise UsageError(
                    f"a job is named as in send_welcome_email or mailing/SendWelcomeEmail, got "
                    f"{text!r}"
                )
        if hasattr(builtins, name):
            raise UsageError(f"a job named {name!r} would hide Python's own {name}")
        if name.startswith("test_"):
            raise UsageError(f"a job named {name!r} would be taken for a test by pytest")
        return cls(tuple(packages), name)


@dataclass(frozen=True)
class GeneratedJob:
    """A job to be written: its module, its files, and the line by which the app imports it."""

    module: str
    file: Path
    test: Path
    importing: str  # empty without an app
    changes: Changes


def generate_job(
    root: Path, name: JobName, queue: str | None, manifest: Manifest | None
) -> GeneratedJob:
    """
    A job of the app that *manifest* tells of, in its first declared queue unless *queue* is given.

    Without an app it belongs to the default manager. Raises AlreadyThereError, or UsageError if the
    app cannot have such a job.
    """
    home = _home_of(root, manifest)
    if manifest is not None and any(job.name == name.name for job in manifest.jobs):
        raise AlreadyThereError(f"{home.module} has a job {name.name} already; nothing was written")
    if name.name == home.name:
        raise UsageError(f"a job named {name.name!r} would hide the manager of that name")
    package, source = _place(root, home)
    module = ".".join([*package, *name.packages, f"{name.name}_job"])
    file, new = layout.new_module(source, module)
    test = layout.tests_directory(root, file.parent) / f"test_{file.name}"
    values = {"module": module, "job": name.name, "home": home.module, "manager": home.name}
    new[file] = fill("job", options=_options(home, queue), **values)
    new[test] = fill("test_job", **values)
    if home is _DEFAULT_HOME:
        return GeneratedJob(module, file, test, "", Changes(new))
    importing = _import_of(module)
    edit = (Path(home.file), _with_import(Path(home.file), file.stem, importing))
    return GeneratedJob(module, file, test, importing, Changes(new, edit))


def _snake_case(word: str) -> str:
    word = unicodedata.normalize("NFKC", word).replace("-", "_")  # as Python reads identifiers
    return _WORD_BEGINS.sub("_", word).lower()


def _home_of(root: Path, manifest: Manifest | None) -> Home:
    if manifest is None or manifest.home is None:
        return _DEFAULT_HOME
    home = manifest.home
    file = Path(home.file)
    if not home.name or file.suffix != ".py" or not file.is_relative_to(root) or is_installed(file):
        raise ConfigurationError(
            f"{home.module} is no file of the project at {root}, which a job could be added to"
        )
    return home


def _place(root: Path, home: Home) -> tuple[list[str], Path]:
    """The package that the job's module goes into, and the directory that this is imported from."""
    if home is _DEFAULT_HOME:
        directory = layout.package_of(root)
        return ([], root) if directory is None else ([directory.name], directory.parent)
    file = Path(home.file)
    package = home.module.split(".")
    if file.name != "__init__.py":
        package.pop()
    return package, file.parents[len(package)]


def _options(home: Home, queue: str | None) -> str:
    """What follows ``@jobs.job``."""
    if queue is None:
        queue = home.queues[0] if home.queues else None
    if queue is None:
        return ""
    try:
        check_queue(queue)
    except ConfigurationError as error:
        raise UsageError(str(error)) from None
    if home.queues and queue not in home.queues:
        raise UsageError(
            f"queue {queue!r} is not one of the declared queues: {', '.join(home.queues)}"
        )
    return f"(queue={json.dumps(queue, ensure_ascii=False)})"


def _import_of(module: str) -> str:
    package, _, name = module.rpartition(".")
    return f"from {package} import {name}" if package else f"import {name}"


def _with_import(file: Path, name: str, importing: str) -> bytes:
    """The app's module, at its end importing the job: there its manager can be imported in turn."""
    data = file.read_bytes()
    if re.search(rb"\b%s\b" % name.encode(), data):
        raise AlreadyThereError(f"{file} speaks of {name} already; nothing was written")
    end = b"\r\n" if b"\r\n" in data else b"\n"
    lines = data.splitlines()
    if not data.endswith(b"\n"):
        data += end
    if not lines[-1].startswith(_GOES_ON):
        data += end * 2
    return data + f"{importing}  # noqa".encode() + end
