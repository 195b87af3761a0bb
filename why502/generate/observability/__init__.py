"""What monitors the metrics of `why502 watch`: rules and alerts, inhibition and routing for Alertmanager, Grafana dashboards."""
