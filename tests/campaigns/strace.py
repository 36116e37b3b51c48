"""What a traced process does to the files of a directory, from the words of strace."""

import json
import re
import shutil
import subprocess
from pathlib import Path

CALLS = "openat,pwrite64,write,ftruncate,fsync,fdatasync,unlink"
_LINE = re.compile(r"\d+ +(\w+)\((.*)\) += (\d+)")
_FILE = re.compile(r"\d+<((?:\\x..)+)>")
_TEXT = re.compile(r'"((?:\\x..)*)"')


def is_there():
    """Whether processes can be traced here."""
    if not shutil.which("strace"):
        return False
    tried = subprocess.run(["strace", "-o", "/dev/null", "true"], capture_output=True, check=False)
    return tried.returncode == 0


def traced(words, trace):
    """Run a command to its end; every call that changes a file stands in the file *trace* then."""
    options = ["--seccomp-bpf", "-f", "-y", "-xx", "-s", "1000000", "-e", f"trace={CALLS}"]
    subprocess.run(
        ["strace", *options, "-o", str(trace), *map(str, words)],
        check=True, stdout=subprocess.PIPE,
    )  # fmt: skip


def events(trace):
    """
    What a process printed, line by line, and what it did between, as tuples in their order.

    ("write", path, bytes, offset), ("truncate", path, size), ("sync", path), ("open", path),
    ("delete", path) and ("printed", what the line says as JSON).
    """
    for line in Path(trace).read_text("ascii").splitlines():
        if found := _LINE.match(line):
            yield from _event(*found.groups())


def _event(call, words, result):
    file, text = _FILE.match(words), _TEXT.search(words)
    path = Path(_bytes(file[1]).decode()) if file else None
    match call:
        case "write" if words.startswith("1<"):
            yield from (("printed", json.loads(one)) for one in _bytes(text[1]).splitlines())
        case "openat":
            if "O_CREAT" in words:
                yield "open", Path(_bytes(text[1]).decode())
        case "pwrite64":
            yield "write", path, _bytes(text[1])[: int(result)], int(words.rpartition(",")[2])
        case "ftruncate":
            yield "truncate", path, int(words.rpartition(",")[2])
        case "fsync" | "fdatasync":
            yield "sync", path
        case "unlink":
            yield "delete", Path(_bytes(text[1]).decode())


def _bytes(text):
    return bytes.fromhex(text.replace("\\x", ""))
