"""A Redis server for one run, on a socket in the run's directory."""

import importlib.util
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SOCKET = "redis.sock"
DURABLE = {"everysec": "appendonly, appendfsync everysec: a crash of the machine loses a second"}


def missing_server() -> str | None:
    """Why there can be none here, if so."""
    if importlib.util.find_spec("redis") is None:
        return "the Redis client is not installed"
    return None if shutil.which("redis-server") else "there is no redis-server on the PATH"


@contextmanager
def redis_server(directory: Path) -> Iterator[int]:
    """One that keeps an append-only file; yields its process id, and ends with the block."""
    socket = directory / SOCKET
    options = {
        "port": "0",
        "unixsocket": str(socket),
        "dir": str(directory),
        "appendonly": "yes",
        "appendfsync": "everysec",
        "save": "",
    }
    words = [word for key, value in options.items() for word in (f"--{key}", value)]
    server = subprocess.Popen(
        [shutil.which("redis-server") or "redis-server", *words], stdout=subprocess.DEVNULL
    )
    try:
        _wait_until_it_answers(socket)
        yield server.pid
    finally:
        server.kill()
        server.wait()


def _wait_until_it_answers(socket: Path) -> None:
    import redis

    end = time.monotonic() + 10
    while True:
        try:
            redis.Redis(unix_socket_path=str(socket)).ping()
        except redis.RedisError:
            if time.monotonic() > end:
                raise
            time.sleep(0.01)
        else:
            return
