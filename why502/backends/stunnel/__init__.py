"""stunnel: adds TLS to plain-text connections, in front of the application or of a service elsewhere."""
