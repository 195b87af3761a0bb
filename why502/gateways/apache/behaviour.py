"""How Apache httpd behaves where gateways differ.

Sources: its messages, of which many name no backend (mod_proxy, mod_cgid); modules/proxy/proxy_util.c, ap_proxy_connect_backend
(it connects to each address of the worker's name in turn); mod_remoteip, RemoteIPProxyProtocol.
"""

from __future__ import annotations

from collections.abc import Sequence

from why502.gateways.apache.config.load import PREFACE, REVERSE, UPGRADE, VIRTUAL_HOST, WAIT
from why502.gateways.apache.logs.log_format import read_as
from why502.gateways.behaviour import OF_MESSAGES, Behaviour, Demand, Listen
from why502.gateways.listens import accepts_target
from why502.model.logs import Symptom
from why502.model.process import Process
from why502.model.proxy import Proxy
from why502.model.target import Target


def _wants(proxy: Proxy, target: Target, _found: Sequence[Listen], _processes: Sequence[Process]) -> Demand | None:
    """`RemoteIPProxyProtocol` of one virtual host applies to its address; without it none is expected there."""
    found = [
        (address, route.setting(PREFACE))
        for route in proxy.routes
        if (address := route.setting(VIRTUAL_HOST)) and any(accepts_target(word, target) for word in address.args)
    ]
    wants = {setting is not None and setting.args[0].lower() == "on" for _, setting in found}
    if len(wants) != 1:  # of several virtual hosts at one address the first one counts, which may have no route
        return None
    address, setting = found[0]
    name = f"Apache's `<VirtualHost {' '.join(address.args)}>`"
    return wants.pop(), f"{name} ({setting.at})" if setting else f"{name} without RemoteIPProxyProtocol"


BEHAVIOUR = Behaviour(
    preface_behind="`RemoteIPProxyProtocol On`",
    programs=frozenset({"apache2", "httpd"}),
    starts_workers_to_load=True,
    read_timeout=WAIT,
    read_timeout_unit="",
    redirects=REVERSE,
    upgrade_setting=UPGRADE,
    upgrade_words="upgrade=websocket",
    tries_each_address=True,
    logs_own_statuses=True,  # at level error: AH00957, AH01102, AH01114, AH01167
    places_own_statuses=False,
    has_balancers=True,
    answers_500_to=frozenset({Symptom.TLS_FAILED, Symptom.TLS_UNVERIFIED}),  # AH01084, AH00898
    silent_500_of=frozenset({"uwsgi"}),  # uwsgi_response() in mod_proxy_uwsgi.c, where no status line comes
    worker_limit="MaxRequestWorkers",
    workers_take_one_request=True,
    unplaced=OF_MESSAGES
    | {
        Symptom.SEND_FAILED,
        Symptom.BODY_TIMED_OUT,
        Symptom.OTHER_PROTOCOL,
        Symptom.APPLICATION_ERROR,
        Symptom.MODULE_MISSING,
        Symptom.SCRIPT_NOT_FOUND,
    },
    read_as=read_as,
    serves_applications=True,
    wants_preface=_wants,
)
