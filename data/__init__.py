"""The demo: puzzles, suites and a small training run."""
