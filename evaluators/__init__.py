"""The one evaluation pass over a checkpoint."""
