"""The run folder: its files, journal and manifest."""
