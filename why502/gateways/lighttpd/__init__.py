"""lighttpd: mod_proxy, mod_fastcgi, mod_scgi and mod_ajp13, which share one backend code (gw_backend.c)."""
