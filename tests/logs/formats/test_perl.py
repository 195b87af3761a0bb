"""What Perl says: why a program ends, and where its servers listen."""

from __future__ import annotations

import pytest
from said import check

from why502.backends.perl import logs as perl
from why502.model.logs import Symptom


@pytest.mark.parametrize(
    ("line", "symptom", "target"),
    [
        ("Can't locate Shop/Prices.pm in @INC (you may need to install it) at /srv/shop.pl line 3.", Symptom.START_FAILED, None),
        ("BEGIN failed--compilation aborted at /srv/shop.pl line 3.", Symptom.START_FAILED, None),
        (
            "Can't create listen socket: Address already in use at /usr/share/perl5/Mojo/IOLoop.pm line 1.",
            Symptom.ADDRESS_IN_USE,
            None,
        ),
        ('Can\'t call method "price" on an undefined value at /srv/shop.pl line 40.', Symptom.APPLICATION_ERROR, None),
        ("Web application available at http://127.0.0.1:8081", Symptom.LISTENS_ON, "127.0.0.1:8081"),
        ("HTTP::Server::PSGI: Accepting connections at http://127.0.0.1:5000/", Symptom.LISTENS_ON, "127.0.0.1:5000"),
        ("Binding to TCP port 5000 on host 127.0.0.1 with IPv4", Symptom.LISTENS_ON, "127.0.0.1:5000"),
    ],
)
def test_messages(line: str, symptom: Symptom, target: str | None) -> None:
    check(perl, line, symptom, target=target)


@pytest.mark.parametrize("line", ["Can't wait to see you", "Web application firewall is on", "a visit at /srv line by line"])
def test_other_words(line: str) -> None:
    assert perl.parse(line) is None
