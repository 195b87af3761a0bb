"""A service of Docker compose."""
