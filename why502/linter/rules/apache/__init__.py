"""Rules about Apache httpd as a proxy. Source: the documentation of mod_proxy, mod_rewrite, mod_ssl and core."""
