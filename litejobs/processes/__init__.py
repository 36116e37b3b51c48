"""The runner: the process that hosts workers and takes signals."""
