"""What remedies are made of: changes of configuration files, drop-ins of units, commands."""
