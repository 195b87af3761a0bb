"""Docker and podman."""
