"""How the docs are built: tox -e docs."""

project = "litejobs"
author = "the litejobs authors"
extensions = ["myst_parser"]
html_theme = "furo"
myst_heading_anchors = 3
exclude_patterns = ["_build"]
