"""Apache's messages without a request: of the backend whose clients got the answer that goes with them, else of none."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from why502.diagnosis.unnamed_requests import by_answers
from why502.diagnosis.ways import by_route, placed, ways_of
from why502.gateways.apache import config as apache
from why502.model.logs import PathTraffic, Symptom, Tally
from why502.model.proxy import Proxy
from why502.model.target import Target

HTTPD = """
<VirtualHost *:80>
  ServerName shop.example
  DocumentRoot /srv/shop
  <Directory /srv/shop>
    <FilesMatch "\\.php$">
      SetHandler "proxy:unix:/run/shop.sock|fcgi://shop/"
    </FilesMatch>
  </Directory>
  <Directory /srv/shop/admin>
    <FilesMatch "\\.php$">
      SetHandler "proxy:unix:/run/admin.sock|fcgi://admin/"
    </FilesMatch>
  </Directory>
</VirtualHost>
"""
WAYS = ways_of((Proxy(kind="apache", routes=apache.load(HTTPD, "/etc/apache2.conf").routes),))
SHOP, ADMIN = Target(path="/run/shop.sock"), Target(path="/run/admin.sock")
Counts = dict[tuple[Target | None, tuple[tuple[str, int], ...]], int]


def told(symptom: Symptom, answers: dict[str, dict[str, int]], *counts: int) -> Counts:
    """Return the counts of messages by target and requests, after these answers to clients of each path."""
    paths = [
        PathTraffic(
            server="shop.example",
            request=f"GET {path}",
            statuses=each,
            last_refused=datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC) if set(each) - {"200"} else None,
        )
        for path, each in answers.items()
    ]
    tallies = [
        Tally(symptom=symptom, proxy="apache", protocol="fastcgi", code="AH01071", detail=str(number), count=count)
        for number, count in enumerate(counts)
    ]
    found = by_answers(placed(tallies, WAYS), by_route(paths, WAYS), WAYS)
    assert sum(tally.count for tally in found) == sum(counts)
    return {(tally.target, tally.requests): tally.count for tally in found}


@pytest.mark.parametrize(
    ("symptom", "status"),
    [
        (Symptom.APPLICATION_ERROR, "500"),
        (Symptom.SCRIPT_NOT_FOUND, "404"),
        (Symptom.SCRIPT_NOT_FOUND, "403"),
        (Symptom.READ_TIMED_OUT, "504"),
        (Symptom.CLOSED_BEFORE_HEADER, "503"),
    ],
)
def test_messages_are_of_the_backend_whose_clients_got_the_answer(symptom: Symptom, status: str) -> None:
    found = told(symptom, {"/index.php": {"200": 9, status: 12}, "/admin/index.php": {"200": 40}}, 12)
    assert found == {(SHOP, (("GET /index.php", 12),)): 12}


def test_messages_about_several_backends_are_divided() -> None:
    answers = {"/index.php": {"500": 12}, "/admin/index.php": {"500": 5}, "/list.php": {"200": 3, "500": 4}}
    found = told(Symptom.APPLICATION_ERROR, answers, 23)
    assert found == {
        (SHOP, (("GET /index.php", 12), ("GET /list.php", 4))): 16,
        (ADMIN, (("GET /admin/index.php", 5),)): 5,
        (None, ()): 2,
    }


@pytest.mark.parametrize(
    "answers",
    [
        {"/index.php": {"500": 5}},  # most messages are about answers that were no error
        {"/index.php": {"200": 50}},
        {"/picture.png": {"500": 12}},
        {},
    ],
)
def test_other_numbers_of_answers_leave_messages_with_nobody(answers: dict[str, dict[str, int]]) -> None:
    assert told(Symptom.APPLICATION_ERROR, answers, 12) == {(None, ()): 12}


def test_more_answers_than_messages_leave_no_doubt_about_the_only_backend() -> None:
    assert told(Symptom.APPLICATION_ERROR, {"/index.php": {"500": 13}}, 12) == {(SHOP, (("GET /index.php", 13),)): 12}
    two = {"/index.php": {"500": 13}, "/admin/index.php": {"500": 2}}
    assert {target for target, _ in told(Symptom.APPLICATION_ERROR, two, 12)} == {None}


def test_different_messages_are_divided_only_if_one_backend_has_all() -> None:
    one, two = {"/index.php": {"500": 12}}, {"/index.php": {"500": 8}, "/admin/index.php": {"500": 4}}
    assert {target for target, _ in told(Symptom.APPLICATION_ERROR, one, 7, 5)} == {SHOP}
    assert {target for target, _ in told(Symptom.APPLICATION_ERROR, two, 7, 5)} == {None}


def test_statuses_of_requests_to_several_backends_are_divided() -> None:
    requests = (("GET /index.php", 11), ("GET /admin/index.php", 5))
    tally = Tally(symptom=Symptom.UPSTREAM_STATUS, proxy="apache", server="shop.example", status=500, count=18, requests=requests)
    found = placed([tally], WAYS)
    assert [(each.target, each.count) for each in found] == [(SHOP, 11), (ADMIN, 5), (None, 2)]
    assert placed([tally], {}) == (tally,)
