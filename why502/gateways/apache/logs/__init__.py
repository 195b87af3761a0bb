"""The logs of Apache httpd, and of its module mod_jk."""
