"""The parts of remedies: edits of configuration files, drop-ins for units, commands."""
