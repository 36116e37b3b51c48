"""The texts that are filled in: files beside this one, with ``$NAME`` where a value goes."""

from importlib import resources
from string import Template


def fill(name: str, **values: object) -> str:
    """The template *name* with *values*."""
    text = (resources.files(__package__) / f"{name}.py.txt").read_text("utf-8")
    return Template(text).substitute(values)
