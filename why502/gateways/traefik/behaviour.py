"""How Traefik behaves where gateways differ. Sources: doc.traefik.io (passHostHeader, serversTransport), its access log."""

from why502.gateways.behaviour import Behaviour

BEHAVIOUR = Behaviour(
    programs=frozenset({"traefik"}),
    services=frozenset({"traefik"}),
    passes_host=True,
    tries_each_address=True,  # Go: net/dial.go, dialSerial
    tells_own_500=True,
    container_labels="traefik.",
    container_port_label=".loadbalancer.server.port",
)
