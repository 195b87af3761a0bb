"""uWSGI."""
