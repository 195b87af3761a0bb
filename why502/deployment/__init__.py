"""A deployment as files: a gateway's configuration, PHP-FPM pools, systemd units. `why502 lint` checks it."""
