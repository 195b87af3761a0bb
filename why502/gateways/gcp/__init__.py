"""Google Cloud load balancing."""
