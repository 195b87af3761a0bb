"""stunnel: TLS for what speaks none, in front of the application or of a service elsewhere."""
