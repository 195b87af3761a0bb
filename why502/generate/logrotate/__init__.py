"""logrotate."""
