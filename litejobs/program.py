"""The program around litejobs: which module calls, and how its process came to be."""

import sys
from pathlib import Path
from types import FrameType, ModuleType

_FORKS = "multiprocessing."


def calling_module() -> str:
    """The module, not one of ours, that this was called for."""
    frame = sys._getframe(1)  # noqa: SLF001  # there is no other way to one's caller
    own = __name__.partition(".")[0]
    while frame.f_back is not None and _package(frame) == own:
        frame = frame.f_back
    return str(frame.f_globals.get("__name__", "__main__"))


def importable_name(module: ModuleType) -> str:
    """The name by which a worker could import the module, which may be running as __main__."""
    if module.__name__ != "__main__":
        return module.__name__
    spec, file = getattr(module, "__spec__", None), getattr(module, "__file__", None)
    return spec.name if spec is not None else Path(file or "__main__").stem


def is_spawned() -> bool:
    """Whether multiprocessing is just loading the program into a child that it has spawned."""
    process = sys.modules.get("multiprocessing.process")
    return process is not None and hasattr(process.current_process(), "_inheriting")


def is_forked() -> bool:
    """Whether it is multiprocessing that forks just now."""
    frame: FrameType | None = sys._getframe(1)  # noqa: SLF001  # as above
    while frame is not None and not str(frame.f_globals.get("__name__")).startswith(_FORKS):
        frame = frame.f_back
    return frame is not None


def _package(frame: FrameType) -> str:
    return str(frame.f_globals.get("__name__", "")).partition(".")[0]
