"""How the docs are built: tox -e docs."""

from typing import Any

project = "litejobs"
author = "the litejobs authors"
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx_click"]
html_theme = "furo"
html_title = "litejobs"
exclude_patterns = ["_build"]
myst_heading_anchors = 3
smartquotes = False  # the options in the examples of commands keep their dashes

# The reference comes from signatures and docstrings, in the order of the source.
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
python_maximum_signature_line_length = 80
add_module_names = False

# Every name in the reference leads somewhere, but for those of the standard library and of ours
# that are no more than the type of an attribute or argument.
nitpicky = True
nitpick_ignore_regex = [
    ("py:class", r"(abc|collections|datetime|flask\.app|logging|os|pathlib)\..*"),
    ("py:(class|obj)", r"(litejobs\.\w+\.)?[PR]"),
    ("py:class", r"litejobs\.(job_options\.JobOptions|job\.OwnLimits|base_manager\.BaseManager)"),
]


def whole_metavar(_app: Any, _context: Any, lines: list[str]) -> None:
    """MODULE[:NAME] keeps the bracket that sphinx-click takes for the end of an option."""
    lines[:] = [line.replace("<MODULE[:NAME>", "<MODULE[:NAME]>") for line in lines]


def no_arguments(_app: Any, _context: Any, lines: list[str]) -> None:
    """The usage line says which there are; sphinx-click adds no more than "optional argument"."""
    lines.clear()


def setup(app: Any) -> None:
    """Connect the above; called by Sphinx."""
    app.connect("sphinx-click-process-options", whole_metavar)
    app.connect("sphinx-click-process-arguments", no_arguments)
