"""How gateways behave where they differ. Each product states it in `gateways/<product>/behaviour.py`, as `BEHAVIOUR`.

The reasoning packages ask for an attribute; they compare no product's name.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

from why502 import registry
from why502.model.config import Route
from why502.model.logs import Symptom
from why502.model.process import Process
from why502.model.proxy import Proxy
from why502.model.target import Target

PACKAGE = "why502.gateways"
# Programs that serve as gateways and whose configuration we do not read.
UNREAD_PROGRAMS = frozenset({"angie", "h2o", "openresty", "pound"})
# What an access line can show of a request to a backend that it does not name.
OF_ACCESS_LINES = frozenset({Symptom.GATEWAY_STATUS, Symptom.CLIENT_CLOSED})
# And what a gateway's own messages say of a backend.
OF_MESSAGES = OF_ACCESS_LINES | frozenset(
    {
        Symptom.UPSTREAM_STATUS,
        Symptom.CONNECT_REFUSED,
        Symptom.CONNECT_TIMED_OUT,
        Symptom.READ_TIMED_OUT,
        Symptom.CLOSED_BEFORE_HEADER,
        Symptom.RESET_BEFORE_HEADER,
        Symptom.CLOSED_IN_BODY,
        Symptom.RESET_IN_BODY,
        Symptom.HEADER_INVALID,
    }
)

Listen = tuple[str, Route | None]  # an address that a gateway listens on, as written, and the route that has it
Demand = tuple[bool, str]  # whether a PROXY header is required, and the setting that says so


@dataclass(frozen=True, slots=True, kw_only=True)
class Behaviour:
    """What one product does. The defaults are what is assumed of a gateway that states nothing."""

    programs: frozenset[str] = frozenset()  # names of its processes
    services: frozenset[str] = frozenset()  # names of units and processes that are it and never an application
    description: str = ""  # of its unit in distributions, in lower case, where that does not name it
    passes_host: bool = False  # the backend gets the client's Host, which the configuration need not mention
    forwards_upgrade: bool = True  # the client's Upgrade header, without being told to
    upgrade_setting: str = ""  # the setting of the routes that forward it, where they must be told to in HTTP
    upgrade_words: str = ""  # what follows the address in the line of a route so that it forwards that header
    verifies_default_name: bool = False  # a server's certificate is verified for the proxied name where none is configured
    verifies_without_trusted: bool = False  # where it is to verify certificates, it does so without trusted ones, and refuses all
    strict_since: tuple[int, ...] | None = None  # the version that began to refuse duplicate and malformed response headers
    keeps_addresses: bool = False  # a name is resolved once, when the configuration is loaded, unless it says otherwise
    tries_each_address: bool = False  # where one address of a name refuses a connection, it tries the next one for that request
    routes_have_listens: bool = False  # each route has all addresses that it is reached at
    logs_name_server: bool = False  # a line without a server is of the default one
    keeps_connections: bool = False  # it keeps idle connections to a backend unless it is told otherwise
    tells_failed_checks: bool = False  # its lines or its admin interface tell of each server why its checks fail
    # Codes in its lines about checks that tell a server's failure to answer the check; its requests may be answered meanwhile.
    check_codes: tuple[str, ...] = ()
    handshake_code: str = (
        ""  # in its lines, of a connection that failed or of a TLS handshake that failed on it: which, is unknown
    )
    tells_resets: bool = True  # its lines tell a connection that was reset from one that was closed
    usual_read_s: float = 60.0  # how long it waits for an answer unless it is told otherwise
    read_timeout: str = ""  # the setting of that wait whose only argument is a time (`30s`), which may have a name (`timeout=30`)
    read_timeout_unit: str = "s"  # what follows the seconds there
    redirects: str = ""  # the setting with the addresses that it replaces in redirects of its backends
    starts_workers_to_load: bool = False  # each load of the configuration starts new workers
    logs_own_statuses: bool = False  # its error log has a line for each 502, 503 and 504 that it generates itself
    has_balancers: bool = False  # a status without a target may be that of a balancer
    unplaced: frozenset[Symptom] = OF_ACCESS_LINES  # symptoms in its lines that concern a backend which the line may not name,
    places_own_statuses: bool = True  # also with a status that the gateway may send itself
    tells_own_500: bool = False  # its log tells the 500s that it sends itself from those of the application
    answers_500_to: frozenset[Symptom] = (
        frozenset()
    )  # the failures of its own log that it answers so; a backend's 500 has no line
    silent_500_of: frozenset[str] = frozenset()  # protocols of backends whose missing answer is a 500 without a line
    asked_first: str = ""  # the setting of a route with those who are asked whether a client may pass: seconds, then addresses
    is_placed_by_protocol: bool = True  # a message without a request belongs to the only target of its protocol
    worker_limit: str = ""  # the setting of its limit on clients at a time; the others wait to be accepted
    workers_take_one_request: bool = False  # each of its workers, at a time
    refuses_long_requests: bool = False  # a status for a request that is too long may be its own
    binds_lead_to_routes: bool = False  # what it accepts at the addresses of a route goes there, whatever was asked for
    journal_line: re.Pattern[str] | None = None  # the lines of its unit's journal that are its log, where it writes others too
    sends_preface: Callable[[Route], bool | None] | None = None
    wants_preface: Callable[[Proxy, Target, Sequence[Listen], Sequence[Process]], Demand | None] | None = None
    preface_in_front: str = ""  # the setting by which it sends a PROXY header, in Markdown
    preface_behind: str = ""  # and by which it expects one
    log_program: str = ""  # the program that writes its log to a file, where the log is in its memory
    takes_directives: bool = False  # its files consist of nginx's directives, which remedies set and replace in place
    connects_as_configured: bool = False  # only to addresses that its files name, and its messages name the address
    is_found_by_program: bool = False  # where it does not run, its program was found as well, and not only a file of its own
    full_is_no_upstream: bool = False  # of a group whose servers are all at their limit it says that none is left
    zero_expires: bool = False  # a timeout of 0 expires at once; with others it is none
    worker_limit_counts_sockets: bool = False  # `Proxy.worker_connections`: every socket that a worker has open is one of them
    access_format: str = ""  # of its access logs, with the text that its configuration gives; "": their content decides
    error_format: str = ""  # of its error logs, which have no access lines; "": their content decides
    # Text and escape of a log format in the product's notation, in the readers' notation; those of another product unchanged.
    read_as: Callable[[str, str], tuple[str, str]] = lambda text, escape: (text, escape)
    container_labels: str = ""  # the prefix of the labels by which containers say how it routes to them
    container_port_label: str = ""  # the end of the label that names the port, if containers say that
    serves_applications: bool = False  # in its own processes: their messages are then in its error log


_UNSTATED = Behaviour()


def read_limit_s(route: Route) -> float:
    """Return the read timeout of a route in seconds; infinite without a limit (no `timeout server`, no
    `response_header_timeout`).
    """
    return _limit_s(route.read_timeout_s, route)


def connect_limit_s(route: Route) -> float:
    """Return the connect timeout of a route in seconds; infinite without a limit (no `timeout connect`)."""
    return _limit_s(route.connect_timeout_s, route)


def _limit_s(timeout_s: float, route: Route) -> float:
    return timeout_s if timeout_s > 0 or behaviour(route.proxy).zero_expires else math.inf


@cache
def behaviour(kind: str) -> Behaviour:
    """Return the behaviour of a kind of gateway; the defaults for one that states nothing or is unknown."""
    module = registry.part(PACKAGE, kind, "behaviour")
    return _UNSTATED if module is None else module.BEHAVIOUR


def preface_settings() -> str:
    """Return how each product sends a PROXY header, and how each one expects it, in one sentence part."""
    every = [(name, behaviour(name)) for name in registry.products(PACKAGE)]
    front = ", ".join(f"{name} {each.preface_in_front}" for name, each in every if each.preface_in_front)
    behind = ", ".join(f"{name} {each.preface_behind}" for name, each in every if each.preface_behind)
    return f"{front} in front; {behind} behind"


@cache
def programs() -> frozenset[str]:
    """Return the names of all programs that serve as gateways."""
    return UNREAD_PROGRAMS.union(*(module.BEHAVIOUR.programs for module in registry.parts(PACKAGE, "behaviour")))


@cache
def application_servers() -> dict[str, str]:
    """Return the gateways that also serve applications in their own processes, by the names of these."""
    return {name: kind for kind in _stating() if behaviour(kind).serves_applications for name in behaviour(kind).programs}


@cache
def container_labels() -> dict[str, str]:
    """Return the prefix of the labels of containers that each gateway reads, of those that read some."""
    return {kind: behaviour(kind).container_labels for kind in _stating() if behaviour(kind).container_labels}


def read_as(text: str, escape: str) -> tuple[str, str]:
    """Return the text and escape of a log format of any product, in the readers' notation."""
    for kind in _stating():
        text, escape = behaviour(kind).read_as(text, escape)
    return text, escape


def of_service(name: str) -> str | None:
    """Return the gateway with a unit or process of that name; None if there is none."""
    return _services().get(name)


def of_description(text: str) -> str | None:
    """Return the gateway whose unit is described so, in lower case, in distributions; None if there is none."""
    return next((kind for description, kind in _descriptions().items() if text.startswith(description)), None)


@cache
def _services() -> dict[str, str]:
    return {name: kind for kind in _stating() for name in behaviour(kind).services}


@cache
def _descriptions() -> dict[str, str]:
    return {behaviour(kind).description: kind for kind in _stating() if behaviour(kind).description}


def _stating() -> tuple[str, ...]:
    return tuple(kind for kind in registry.products(PACKAGE) if registry.part(PACKAGE, kind, "behaviour") is not None)
