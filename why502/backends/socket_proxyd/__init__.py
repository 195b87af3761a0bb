"""systemd-socket-proxyd: passes the connections of a socket unit on to another address."""
