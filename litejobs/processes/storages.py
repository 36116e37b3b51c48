"""All that one app stores jobs in, as far as a command may touch it without running user code."""

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass

import msgspec

from litejobs.adapters.sqlite.file import size
from litejobs.errors import UnusableAppError
from litejobs.performers import scout
from litejobs.performers.manifest import Manifest, Storage
from litejobs.processes.sources import AppSource, open_storage
from litejobs.stop import Stop


@dataclass(frozen=True)
class Storages:
    """The adapters of an app: SQLite files are opened here, the others are the app's to touch."""

    source: AppSource
    manifest: Manifest

    @classmethod
    def of(cls, source: AppSource) -> "Storages":
        """Ask the app; raises ConfigurationError if it does not load."""
        with closing(Stop()) as stop:
            manifest = source.manifest(stop)
        assert manifest is not None  # nobody asked to stop
        return cls(source, manifest)

    def to_look_at(self) -> Storage:
        """The file of the first worker group; raises UnusableAppError if it is none of ours."""
        storage = self.manifest.adapters[self.manifest.groups[0].adapter]
        if isinstance(storage, Storage):
            return storage
        files = " or ".join(one.path for one in self.manifest.storages.values())
        hint = f"; name {files} as DATABASE to see what is there" if files else ""
        raise UnusableAppError(
            f"the jobs of {self.source.app} are in {storage}, and this command can only look into "
            f"SQLite files{hint}"
        )

    def where(self, keys: Sequence[str]) -> str:
        """The adapters of those keys, in words."""
        places = (self.manifest.adapters[key] for key in keys)
        return ", ".join(p.path if isinstance(p, Storage) else p for p in places)

    def clear(self, keys: Sequence[str]) -> int:
        """
        Delete every job in the adapters of those keys, and return how many there were.

        Raises JobStateError, and deletes nothing, while a job in one of the files is running.
        """
        places = [self.manifest.storages[key] for key in keys if key in self.manifest.storages]
        files = [open_storage(one, adopt=False, create=False) for one in places if size(one.path)]
        for adapter in files:
            adapter.check_idle()
        count = sum(adapter.clear() for adapter in files)
        for key in keys:
            if key not in self.manifest.storages:
                task = msgspec.structs.replace(self.source.start, task="clear", adapter=key)
                with closing(Stop()) as stop:
                    count += scout.clear(task, stop) or 0
        return count
