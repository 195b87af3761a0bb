"""Probes: one request to a target, sent as the proxy would. One module per protocol, each with `ask(line, request) -> Answer`."""
