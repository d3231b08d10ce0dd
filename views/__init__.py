"""What is derived from the log: one module a view."""
