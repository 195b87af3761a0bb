"""PHP-FPM pools."""
