"""What the daemon knows, and what it concludes from each event. Nothing here looks at a machine, a clock or a file."""
