"""
The entry of the daemon.

Started by ``litejobs start`` as ``python -P -m litejobs.daemon NAME``; the name shows in ps.
"""

import sys

from litejobs.processes.daemon import run

if __name__ == "__main__":
    sys.exit(run())
