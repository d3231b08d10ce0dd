"""The event log, its tables and the runner of what is derived from it."""
