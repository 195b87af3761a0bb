"""What a unit's own settings keep its processes from: networks that they may not exchange packets with.

Sources: systemd.resource-control(5), IPAddressAllow= and IPAddressDeny=: a packet is dropped if its other end is in the second
list and not in the first. Both ends see only that nothing answers. systemd.exec(5), PrivateNetwork=: only the loopback device
of a network namespace of its own.
"""

from __future__ import annotations

import ipaddress

from why502.diagnosis.case import Case
from why502.model.service import Service
from why502.model.snapshot import Listener
from why502.model.target import Target


def denied(service: Service, host: str) -> str:
    """Return the setting of a unit that drops packets from and to an address, "IPAddressDeny=…"; "" if there is none."""
    networks = service.settings.get("IPAddressDeny", "")
    if not _is_in(host, networks) or _is_in(host, service.settings.get("IPAddressAllow", "")):
        return ""
    return f"IPAddressDeny={networks}"


def cut_off(case: Case) -> str:
    """Return that the unit of the target drops what the proxy on the same machine sends to it; "" if no setting of it does.

    A connection to an address of the machine itself comes from that address.
    """
    target = case.target
    if target is None or target.is_unix or case.network or not (target.is_loopback or case.shares_network):
        return ""
    found = ((service.name, setting) for service in case.services if (setting := denied(service, target.host)))
    return next((f"{name} may not exchange packets with {target.host} ({setting})" for name, setting in found), "")


def by_itself(case: Case) -> tuple[Service, Listener] | None:
    """Return the unit with a network of its own (PrivateNetwork=yes) whose process listens on the target's port there, with the
    listener; None if there is none, or if something listens where the proxy is.
    """
    target = case.target
    if target is None or target.is_unix or case.listeners != () or not (target.is_loopback or case.shares_network):
        return None
    alone = {one.name: one for one in case.here.services or () if one.settings.get("PrivateNetwork") == "yes"}
    for listener in case.joins.listeners_at(target.port) if alone else ():
        process = case.process_of(listener)
        service = alone.get(process.unit) if process and listener.network != case.network else None
        if service is not None:
            return service, listener
    return None


def kept_from(case: Case, peer: Target) -> str:
    """Return that the unit of the target drops what its processes send to a dependency; "" if no setting of it does."""
    found = ((service.name, setting) for service in case.services if (setting := denied(service, peer.host)))
    return next((f"{name} may not exchange packets with {peer.host} ({setting})" for name, setting in found), "")


def _is_in(host: str, networks: str) -> bool:
    try:
        address = ipaddress.ip_address(host)
        return any(address in ipaddress.ip_network(network, strict=False) for network in networks.split()[:256])
    except ValueError:
        return False
