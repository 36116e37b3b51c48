"""All that lies in ``<database>.run/``: what the processes on one database leave for each other."""
