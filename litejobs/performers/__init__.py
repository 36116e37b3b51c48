"""The executor of processes: children that import the app and run its jobs."""
