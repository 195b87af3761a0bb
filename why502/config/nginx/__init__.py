"""nginx configuration."""
