"""How Caddy behaves where gateways differ. Source: its messages, which name no backend in all cases (reverseproxy.go)."""

from why502.gateways.behaviour import OF_MESSAGES, Behaviour

BEHAVIOUR = Behaviour(
    programs=frozenset({"caddy"}),
    unplaced=OF_MESSAGES,
)
