"""How Apache httpd behaves where gateways differ.

Sources: its messages, of which many name no backend (mod_proxy, mod_cgid); modules/proxy/proxy_util.c, ap_proxy_connect_backend
(it connects to each address of the worker's name in turn).
"""

from why502.gateways.apache.logs.log_format import read_as
from why502.gateways.behaviour import OF_MESSAGES, Behaviour
from why502.model.logs import Symptom

BEHAVIOUR = Behaviour(
    programs=frozenset({"apache2", "httpd"}),
    starts_workers_to_load=True,
    tries_each_address=True,
    logs_own_statuses=True,  # at level error: AH00957, AH01102, AH01114, AH01167
    places_own_statuses=False,
    has_balancers=True,
    answers_500_to=frozenset({Symptom.TLS_FAILED, Symptom.TLS_UNVERIFIED}),  # AH01084, AH00898
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
)
