"""systemd-socket-proxyd: forwards the connections of a socket unit to another address."""
