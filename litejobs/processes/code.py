"""Whether the code of a project has changed since somebody looked."""

import os
from pathlib import Path

_OUTSIDE = {"node_modules", "site-packages", "dist-packages", "__pycache__"}
_MOST = 50_000  # files that are looked at; a project with more is not watched


class SourceWatch:
    """Tells changes of a project by its newest ``.py`` file, and how many there are."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._seen = newest_source(root)

    def has_changed(self) -> bool:
        """Whether it is other than when this was last asked; takes some milliseconds."""
        before, self._seen = self._seen, newest_source(self._root)
        return self._seen != before


def newest_source(root: Path) -> tuple[int, int]:
    """When the newest Python file below *root* changed (ns since 1970), and how many there are."""
    newest = count = 0
    for directory, names, files in os.walk(root):
        names[:] = [
            name
            for name in names
            if not name.startswith(".")
            and name not in _OUTSIDE
            and not os.path.lexists(os.path.join(directory, name, "pyvenv.cfg"))  # noqa: PTH118
        ]
        for file in files:
            if file.endswith(".py"):
                count += 1
                newest = max(newest, _changed(os.path.join(directory, file)))  # noqa: PTH118
        if count > _MOST:
            return 0, 0
    return newest, count


def _changed(file: str) -> int:
    try:
        return os.stat(file).st_mtime_ns  # noqa: PTH116  # thousands of them
    except OSError:
        return 0
