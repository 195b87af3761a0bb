"""How Traefik behaves where gateways differ."""

from why502.gateways.behaviour import Behaviour

BEHAVIOUR = Behaviour(programs=frozenset({"traefik"}))
