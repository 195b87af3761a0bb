"""E-mail by SMTP: one thread for each incident."""
