"""Jobs in one table of an SQLite file."""
