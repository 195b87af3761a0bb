"""Logs of real runs, healthy and broken: which symptoms are read from each whole file, and nothing else."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from why502.logs.detect import detect, parse_any

DIRECTORY = Path(__file__).parents[2] / "data" / "applications"
READ: dict[str, tuple[str, dict[str, int]]] = {
    "gunicorn_27": (
        "gunicorn",
        {
            "process-started": 1,
            "listens-on": 1,
            "client-bad-request": 1,
            "worker-timed-out": 1,
            "application-error": 3,
            "process-crashed": 3,
            "request-header-too-big": 1,
            "process-stopped": 2,
        },
    ),
    "gunicorn_27_in_use": ("gunicorn", {"process-started": 1, "address-in-use": 10, "start-failed": 1}),
    "gunicorn_27_missing_variable": (
        "python_traceback",
        {"process-started": 1, "listens-on": 1, "start-failed": 4, "process-stopped": 1},
    ),
    "gunicorn_27_no_application": ("gunicorn", {"process-started": 1, "listens-on": 1, "start-failed": 3, "process-stopped": 1}),
    "java_17_heap": ("java", {"process-crashed": 1}),
    "java_17_heap_exit": ("java", {"process-crashed": 1}),
    "java_17_in_use": ("java", {"address-in-use": 1}),
    "java_17_no_class": ("java", {"start-failed": 2}),
    "java_17_no_jar": ("java", {"start-failed": 1}),
    "java_17_placeholder": ("java", {"start-failed": 1}),
    "node_20_healthy": ("application", {"listens-on": 1}),
    "node_20_heap": ("", {"process-crashed": 1}),
    "node_20_in_use": ("nodejs", {"process-crashed": 2, "address-in-use": 2}),
    "node_20_no_module": ("nodejs", {"start-failed": 1, "process-crashed": 1}),
    "node_20_no_package": ("nodejs", {"start-failed": 1, "process-crashed": 1}),
    "node_20_not_allowed": ("nodejs", {"process-crashed": 2, "start-failed": 1}),
    "node_20_rejected": ("nodejs", {"process-crashed": 2}),
    "node_20_syntax": ("nodejs", {"start-failed": 1, "process-crashed": 1}),
    "node_20_uncaught": ("nodejs", {"application-error": 1, "process-crashed": 1}),
    "php_8.2_fatal": ("", {"application-error": 1}),
    "pm2_7": ("pm2", {"process-started": 40, "process-exited": 37, "process-stopped": 2, "restart-loop": 2}),
    "pm2_7_list": ("pm2", {"restart-loop": 2, "process-stopped": 1}),
    "puma_5.6": (
        "puma",
        {"process-started": 1, "listens-on": 1, "client-bad-request": 1, "application-error": 1, "process-stopped": 1},
    ),
    "puma_5.6_in_use": ("ruby", {"process-started": 1, "address-in-use": 1}),
    "puma_5.6_missing_variable": ("ruby", {"process-started": 1, "start-failed": 2}),
    "puma_5.6_no_gem": ("ruby", {"process-started": 1, "start-failed": 2}),
    "python_3.11_in_use": ("python_traceback", {"address-in-use": 1}),
    "python_3.11_missing_variable": ("python_traceback", {"start-failed": 1}),
    "python_3.11_no_module": ("python_traceback", {"start-failed": 1}),
    "python_3.11_syntax": ("", {"start-failed": 1}),
    "ruby_3.1_crash": ("", {"process-crashed": 1}),
    "supervisorctl_4.3_status": (
        "supervisord",
        {"restart-loop": 2, "start-failed": 1, "process-stopped": 1, "process-exited": 1},
    ),
    "supervisord_4.3": (
        "supervisord",
        {
            "start-failed": 8,
            "process-exited": 12,
            "process-started": 17,
            "process-stopped": 3,
            "process-crashed": 7,
            "restart-loop": 3,
        },
    ),
    "unicorn_6": (
        "unicorn",
        {
            "listens-on": 1,
            "process-started": 1,
            "worker-timed-out": 1,
            "process-crashed": 2,
            "application-error": 1,
            "process-stopped": 1,
        },
    ),
    "unicorn_6_in_use": ("unicorn", {"address-in-use": 7}),
    "unicorn_6_no_gem": ("unicorn", {"listens-on": 1, "process-started": 1, "start-failed": 2, "process-exited": 2}),
    "uvicorn_0.54": (
        "uvicorn",
        {
            "listens-on": 1,
            "process-started": 3,
            "client-bad-request": 1,
            "application-error": 3,
            "process-crashed": 1,
            "process-stopped": 2,
        },
    ),
    "uvicorn_0.54_in_use": ("uvicorn", {"process-started": 1, "address-in-use": 1}),
    "uvicorn_0.54_no_module": ("uvicorn", {"start-failed": 1}),
    "uwsgi_2.0.21": (
        "uwsgi",
        {
            "process-started": 1,
            "listens-on": 1,
            "protocol-told": 1,
            "queue-full": 15,
            "worker-timed-out": 5,
            "process-crashed": 4,
            "process-stopped": 2,
        },
    ),
    "uwsgi_2.0.21_big_header": ("uwsgi", {"process-started": 1, "listens-on": 1, "request-header-too-big": 1}),
    "uwsgi_2.0.21_in_use": ("uwsgi", {"process-started": 1, "address-in-use": 2}),
    "uwsgi_2.0.21_no_module": ("uwsgi", {"process-started": 1, "listens-on": 1, "start-failed": 3}),
}


@pytest.mark.parametrize("name", sorted(path.stem for path in DIRECTORY.glob("*.txt")))
def test_a_recorded_log(name: str) -> None:
    lines = (DIRECTORY / f"{name}.txt").read_text().splitlines()
    read = Counter(str(record.symptom) for line in lines if (record := parse_any(line)) and record.symptom)
    assert (detect(lines), dict(read)) == READ[name]
