"""Causes in the platform: kernel, host, service manager, cloud provider."""
