"""supervisord."""
