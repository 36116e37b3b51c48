"""Writing into somebody's project: all that was planned or nothing, and never over a file."""

import tempfile
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from litejobs.errors import AlreadyThereError, ConfigurationError


@dataclass(frozen=True)
class Changes:
    """Files to be made, by path, and at most one to be given new content."""

    new: Mapping[Path, str]
    edit: tuple[Path, bytes] | None = None

    def make(self) -> None:
        """
        Write all of it, or leave everything as it was.

        Raises AlreadyThereError where a new file would lie, ConfigurationError where none can.
        """
        try:
            with ExitStack() as undo:
                for file, text in self.new.items():
                    _make_directory(file.parent, undo)
                    _make_file(file, text, undo)
                if self.edit is not None:  # last: what was in the file before is not kept
                    _replace(*self.edit)
                undo.pop_all()
        except OSError as error:
            raise ConfigurationError(
                f"{error.filename or 'a file'} cannot be written ({error.strerror or error}); "
                "nothing was changed"
            ) from error


def _make_directory(directory: Path, undo: ExitStack) -> None:
    if directory.is_dir():
        return
    _make_directory(directory.parent, undo)
    directory.mkdir()
    undo.callback(directory.rmdir)


def _make_file(file: Path, text: str, undo: ExitStack) -> None:
    try:
        stream = file.open("x", encoding="utf-8")
    except FileExistsError:
        raise AlreadyThereError(f"{file} is there already; nothing was written") from None
    undo.callback(file.unlink)
    with stream:
        stream.write(text)


def _replace(file: Path, data: bytes) -> None:
    """New content in one step, under the permissions of the old; behind a link, what it names."""
    file = file.resolve()
    with file.open("r+b"):  # one that may not be written is not replaced either
        mode = file.stat().st_mode
    with (
        tempfile.NamedTemporaryFile(
            dir=file.parent, prefix=f".{file.name}.", delete=False
        ) as stream,
        ExitStack() as undo,
    ):
        temporary = Path(stream.name)
        undo.callback(temporary.unlink)
        stream.write(data)
        stream.flush()
        temporary.chmod(mode)
        temporary.replace(file)
        undo.pop_all()
