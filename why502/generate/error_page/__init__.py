"""Static error pages."""
