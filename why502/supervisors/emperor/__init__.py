"""The Emperor of uWSGI."""
