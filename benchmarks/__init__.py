"""Measurements, each a command: ``python -m benchmarks.NAME``. Ratios within one run count."""
