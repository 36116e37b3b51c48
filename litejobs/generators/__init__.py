"""What ``init`` and ``generate`` write into a project; runs none of its code."""
