"""From a snapshot to a diagnosis. Nothing in this package looks at a machine."""
