"""Rules that belong to no single cause, one file per subject. Every Rule in a module here is found automatically.

Those here are about nginx, PHP-FPM and systemd units; a package has the rules of the gateway that it is named after.
"""
