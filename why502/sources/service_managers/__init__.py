"""One file for each service manager: each offers `services(host, look)`, what it knows of the services behind targets."""
