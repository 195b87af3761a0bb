"""Any service that takes a POST with JSON: in a form of our own, or in that of Alertmanager's webhooks."""
