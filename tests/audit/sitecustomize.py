"""Python runs this first in each child that a test starts."""

import outside_sqlite

outside_sqlite.install()
