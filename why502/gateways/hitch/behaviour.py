"""How hitch behaves where gateways differ. Source: hitch.conf(5), `write-proxy-v1`, `write-proxy-v2`."""

from why502.gateways.behaviour import Behaviour
from why502.model.config import sends_proxy_header

BEHAVIOUR = Behaviour(preface_in_front="`write-proxy-v2`", programs=frozenset({"hitch"}), sends_preface=sends_proxy_header)
