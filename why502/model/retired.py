"""Fields removed from snapshots: bundles of earlier versions still contain them and stay readable."""

from __future__ import annotations

from typing import Any

from msgspec import inspect

from why502.model.snapshot import Snapshot

RETIRED: dict[str, frozenset[str]] = {
    name: frozenset(fields.split())
    for name, fields in {
        "Kernel": "backend_connections conntrack_drops listen_drops somaxconn",
        "LogSummary": "by_minute clients has_error has_upstream_fields",
        "PathStep": "acl",
        "Peer": "weight",
        "PhpPool": "listen user version",
        "Pressure": (
            "blocked io_full load_1m memory_full memory_total_bytes memory_used_bytes oom_kills swap_total_bytes swap_used_bytes"
        ),
        "Probe": "connect_s sni tls_s",
        "Process": "gid rss_bytes threads",
        "Proxy": "started_at worker_files_limit",
        "Route": "busy_buffers_bytes is_buffered",
        "Service": "cwd ports",
        "TargetTraffic": "first_failure first_success_after last_failure response_max_s response_p50_s",
    }.items()
}


def without_retired(snapshot: object) -> object:
    """Return the plain data of a snapshot without removed fields. Data of an unexpected shape is left unchanged."""
    return _kept(snapshot, inspect.type_info(Snapshot))


def may_be_in(text: bytes) -> bool:
    """Return whether a JSON text may hold a removed field."""
    return any(b'"%s"' % name.encode() in text for fields in RETIRED.values() for name in fields)


def _kept(value: Any, info: inspect.Type) -> Any:
    """Return a value of a type without removed fields, at any depth."""
    match info:
        case inspect.UnionType(types=types):
            for part in types:
                value = _kept(value, part)
        case inspect.VarTupleType(item_type=item) if isinstance(value, list):
            return [_kept(each, item) for each in value]
        case inspect.DictType(value_type=item) if isinstance(value, dict):
            return {key: _kept(each, item) for key, each in value.items()}
        case inspect.StructType(cls=cls) if isinstance(value, dict):
            fields = {field.encode_name: field.type for field in info.fields}
            gone = RETIRED.get(cls.__name__, frozenset())
            return {key: _kept(each, fields[key]) if key in fields else each for key, each in value.items() if key not in gone}
    return value
