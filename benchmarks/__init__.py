"""
Measurements, each a command; only ratios within one run count.

``python -m benchmarks`` measures litejobs beside its peers and bare SQL; ``python -m
benchmarks.NAME`` is one about litejobs alone. From the top down:

- ``__main__``: the command; ``report``, ``chart`` and ``aims`` write what it found
- ``workloads``: what is measured, how, and how its result is checked
- ``bench``: one contestant at work in a directory of its own; ``child``: what it does there
- ``contestants``: litejobs and its peers behind one interface; ``baselines``: SQL and loops alone
- ``jobs``, ``ledger``: what is run, and the proof that each job ran once
"""
