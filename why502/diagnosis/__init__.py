"""From a snapshot to a diagnosis. Nothing in this package accesses a machine."""
