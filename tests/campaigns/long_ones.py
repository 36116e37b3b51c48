"""Which small campaigns wait until they are asked for: the suite is to take minutes."""

import os

import pytest

long = pytest.mark.skipif(
    "LITEJOBS_CAMPAIGNS" not in os.environ, reason="takes seconds: LITEJOBS_CAMPAIGNS=all"
)
