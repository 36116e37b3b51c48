import logging

FORMAT = "%(asctime)s %(levelname)-7s {name}: %(message)s"


def configure(
    level: int, name: str, *loggers: logging.Logger, handler: logging.Handler | None = None
) -> None:
    """
    Write logs to stderr, in a process of our own, unless its app has set up logging already.

    With *handler*, of a daemon, to that.

    The root logger shows INFO and above; litejobs and *loggers* what *level* says.
    """
    if not logging.root.handlers:
        # basicConfig's format has % fields; the worker's own name may hold any character.
        format_ = FORMAT.format(name=name.replace("%", "%%"))
        handlers = None if handler is None else [handler]
        logging.basicConfig(level=max(level, logging.INFO), format=format_, handlers=handlers)
    for logger in (logging.getLogger("litejobs"), *loggers):
        if logger.level == logging.NOTSET:
            logger.setLevel(level)
