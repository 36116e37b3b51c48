"""litejobs in the words of web frameworks; each module needs its framework, nothing else does."""
