"""The metrics of `why502 watch`: for Prometheus over HTTP or in a file of node_exporter, and for OpenTelemetry."""
