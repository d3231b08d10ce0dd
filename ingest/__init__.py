"""How checkpoints arrive: sync, watch, judge."""
