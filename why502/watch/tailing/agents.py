"""Requests that no user makes: our own checks, and those of load balancers and monitors. They call themselves so."""

from __future__ import annotations

from why502.logs.scan import fields
from why502.logs.scan.line_format import Form
from why502.model.logs import LogRecord

# What each is, and where it documents the name:
_AGENTS = (
    "ELB-HealthChecker/",  # AWS, Elastic Load Balancing user guide
    "Amazon-Route53-Health-Check-Service",  # AWS, Route 53 developer guide
    "GoogleHC/",  # Google Cloud, health checks
    "GoogleStackdriverMonitoring-UptimeChecks",  # Google Cloud, uptime checks
    "kube-probe/",  # kubelet, pkg/probe/http
    "Load Balancer Agent",  # Azure Load Balancer
    "Edge Health Probe",  # Azure Front Door
    "Consul Health Check",  # Consul, agent/checks
    "Blackbox Exporter/",  # Prometheus blackbox_exporter
    "Uptime-Kuma/",  # Uptime Kuma
    "UptimeRobot/",
    "Pingdom.com_bot",
    "check_http/",  # monitoring-plugins
)
NEEDLES = tuple(agent.encode() for agent in _AGENTS)
_FIELDS = ("http_user_agent", "user_agent", "agent", "request.headers.User-Agent")


class Agents:
    """Tells the lines of health checks in one log."""

    def __init__(self, form: Form) -> None:
        self._readers = tuple(fields.reader(name, form) for name in _FIELDS)

    def is_check(self, record: LogRecord, line: str) -> bool:
        """Return whether a request is a health check: by its user agent alone, since a path may have the same word."""
        if not any(agent in line for agent in _AGENTS):
            return False
        agent = next((found for read in self._readers if (found := read(record, line))), "")
        return any(known in agent for known in _AGENTS)
