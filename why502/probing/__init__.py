"""One request of ours to a target, as the proxy would send it. One module a protocol: each has `ask(line, request) -> Answer`."""
