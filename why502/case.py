"""Case: the snapshots as seen from one target."""
