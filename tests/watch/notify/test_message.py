"""The texts: the diagnosis, readable on a phone, whatever strangers wrote into the logs."""

from __future__ import annotations

import re
from datetime import timedelta

import msgspec
import pytest
from notify_scenes import AT, HOSTILE, closed, diagnosed, finding, hostile, incident, notice

from why502.model.finding import Layer, refutes, supports
from why502.model.remedy import Edit, Remedy, Run
from why502.watch.message import harmless, page, plain, text
from why502.watch.model import Change, ChangeKind, Incident, Occasion, Proposal, Severity, Step, Transition
from why502.watch.notify.base import Notice


def told(one: Notice) -> str:
    words = text(one)
    return f"{words.title}\n\n{plain(words)}"


def test_a_message_is_the_diagnosis_with_the_fix() -> None:
    assert (
        told(notice(link="https://why502.example/incidents/7K3F"))
        == """\
PAGE web1: 502 from shop.example/, wrong-port

Clients of shop.example/ get 502: nginx connects to 127.0.0.1:3001, where nothing listens; node (pid 10) listens on 127.0.0.1:3000.

312 of 1480 requests failed since 2026-11-23 03:12:10Z, the last one at 2026-11-23 03:12:35Z. Host web1, nginx, target 127.0.0.1:3001.

Cause: wrong-port, 95% confidence at 2026-11-23 03:12:30Z. Fault: proxy configuration or limits; server shop.example, location /.

Evidence:
- node (pid 10) listens on 127.0.0.1:3000, which no route names (ss -ltnp)
- connection refused 6 times, answered 502 (/var/log/nginx/error.log:1)

Fix:
- let the proxy connect to port 3000
- The gateway's own test accepts a copy with this change.

--- /etc/nginx/nginx.conf
+++ /etc/nginx/nginx.conf
-  proxy_pass http://127.0.0.1:3001;
+  proxy_pass http://127.0.0.1:3000;

Changed before:
- 2026-11-23 03:11:30Z, 40 seconds before the first failure: nginx, reloaded

Run:
why502 fix --cause wrong-port
why502 incidents show 7K3F

https://why502.example/incidents/7K3F
Message 7K3F.1 of why502 watch
"""
    )


def test_the_end_of_an_incident() -> None:
    words = text(notice(closed(incident()), Transition.RESOLVED, is_first=False))
    assert words.title == "RESOLVED web1: 502 from shop.example/, wrong-port"
    assert (
        words.paragraphs[0]
        == "Resolved at 2026-11-23 03:22:30Z, after 10 minutes: requests succeed again since nginx was reloaded."
    )
    assert words.paragraphs[1].startswith("It was: Clients of shop.example/ get 502: nginx connects")
    assert [part.heading for part in words.parts] == ["Evidence", "Changed before"]


def test_the_first_message_about_what_is_over_says_that_it_is_late() -> None:
    words = text(notice(closed(incident()), Transition.RESOLVED, is_first=True))
    assert words.paragraphs[1] == "This is the first message about it: it ended before an earlier one could be delivered."


def test_an_end_tells_that_the_failure_had_come_back_meanwhile() -> None:
    both = (Transition.REOPENED, Transition.RESOLVED)
    words = text(notice(closed(incident()), transitions=both, is_first=False))
    assert words.paragraphs[1] == "It had come back since the last message."


def test_evidence_against_the_cause_is_told_as_such() -> None:
    against = refutes("port 3000 answers", "ss -ltnp")
    words = text(notice(incident(diagnosed=(diagnosed(finding(evidence=(against, supports("refused")))),))))
    assert words.parts[0].lines == ("refused", "against it: port 3000 answers (ss -ltnp)")


def test_the_newest_steps_are_told() -> None:
    steps = tuple(Step(at=AT + timedelta(minutes=n), message=f"step {n}") for n in range(6))
    parts = {part.heading: part.lines for part in text(notice(incident(timeline=steps), is_first=False)).parts}
    assert parts["History"] == tuple(f"2026-11-23 03:{12 + n}:30Z: step {n}" for n in range(2, 6))
    assert "History" not in {part.heading for part in text(notice(incident(timeline=steps))).parts}
    assert "History" in {part.heading for part in text(notice(incident(timeline=steps, earlier="2B1A"))).parts}


def test_a_cause_that_changed_comes_first() -> None:
    one = incident(diagnosed=(diagnosed(finding()), diagnosed(finding("backend-crashed", Layer.UPSTREAM), 300, Occasion.CHANGED)))
    words = text(notice(one, Transition.UPDATED, is_first=False))
    assert words.title == "UPDATED web1: 502 from shop.example/, backend-crashed"
    assert words.paragraphs[0] == "The cause is now backend-crashed; before, it was wrong-port."


def test_a_cause_that_is_not_established_is_said_with_its_reason_and_then_with_its_end() -> None:
    one = incident(diagnosed=(diagnosed(None, reason="the error log cannot be read"),), proposal=None)
    words = text(notice(one))
    assert words.title == "PAGE web1: shop.example/ fails, cause not established"
    assert words.paragraphs[0] == (
        "Requests to shop.example/ fail: connection refused. The cause is not established: the error log cannot be read."
    )
    later = msgspec.structs.replace(one, diagnosed=(*one.diagnosed, diagnosed(finding(), 60)))
    assert text(notice(later, Transition.UPDATED, is_first=False)).paragraphs[0] == "The cause is now established: wrong-port."


def test_a_failure_that_is_back() -> None:
    one = incident(times_reopened=3, earlier="2B1A", severity=Severity.TICKET)
    words = text(notice(one, Transition.REOPENED, is_first=False))
    assert words.title.startswith("REOPENED web1: ")
    assert words.paragraphs[0] == "The failure is back. It came back 3 times so far."
    assert "The same failure happened before: incident 2B1A." in text(notice(one)).paragraphs
    assert text(notice(one)).title.startswith("TICKET web1: ")


@pytest.mark.parametrize(
    ("proposal", "expected"),
    [
        (Proposal(summary="x", diff="-a\n+b", is_valid=True), "The gateway's own test accepts a copy with this change."),
        (Proposal(summary="x", diff="-a\n+b"), "This change was not tested."),
        (
            Proposal(summary="x", diff="-a\n+b", test="only root can test a changed copy"),
            "This change was not tested (only root can test a changed copy).",
        ),
        (
            Proposal(summary="x", diff="-a\n+b", is_valid=False, test="unknown directive"),
            "Do not apply it unchanged: the gateway's own test rejects a copy with this change (unknown directive).",
        ),
    ],
)
def test_the_fix_says_whether_it_passed_the_gateways_own_test(proposal: Proposal, expected: str) -> None:
    (fix,) = (part for part in text(notice(incident(proposal=proposal))).parts if part.heading == "Fix")
    assert fix.lines[1] == expected


def test_without_a_proposal_the_finding_has_the_fix_and_its_commands() -> None:
    steps = (
        Edit(file="/etc/nginx/nginx.conf", line=1, start=0, end=1, before="a", after="b", diff="-a password=hunter2hunter2\n+b"),
        Run(argv=("nginx", "-s", "reload")),
    )
    one = incident(proposal=None, diagnosed=(diagnosed(finding(remedies=(Remedy(message="change it", steps=steps),))),))
    parts = {part.heading: part.lines for part in text(notice(one)).parts}
    assert parts["Fix"] == ("change it", "This change was not tested.")
    assert parts["Run"] == ("nginx -s reload", "why502 incidents show 7K3F")
    assert parts[""][1] == "+b"
    assert "hunter2" not in "".join(parts[""])


@pytest.mark.parametrize(
    ("statuses", "expected"),
    [
        ((502, 504), "Clients of shop.example/ get 502/504: it broke."),
        ((499,), "Clients of shop.example/ give up (499): it broke."),
        ((200,), "Clients of shop.example/ get broken responses (200): it broke."),
        ((0,), "Clients of shop.example/ get no response: it broke."),
        ((), "Requests to shop.example/ fail: it broke."),
    ],
)
def test_the_first_sentence_is_what_clients_get_and_why(statuses: tuple[int, ...], expected: str) -> None:
    one = incident(diagnosed=(diagnosed(finding(statuses=statuses, message="it broke")),))
    assert text(notice(one)).paragraphs[0] == expected


def test_what_is_wrong_with_a_log_is_never_said_of_a_target() -> None:
    message = "/var/log/nginx/access.log cannot be read: permission denied"
    one = incident(
        symptom="log-unreadable", location="log /var/log/nginx/access.log", locations=(), target="", failures=0, requests=0,
        diagnosed=(),
        proposal=None, changes=(), severity=Severity.TICKET, last_failure_at=None,
        timeline=(Step(at=AT, message="opened"), Step(at=AT, message=message)),
    )  # fmt: skip
    words = text(notice(one))
    assert words.title == f"TICKET web1: {message}."
    assert words.paragraphs == (f"{message}.", "Since 2026-11-23 03:12:10Z. Host web1, nginx.")
    over = closed(one)
    assert over.closed_at
    over = msgspec.structs.replace(over, timeline=(*one.timeline, Step(at=over.closed_at, message="it can be read again")))
    assert text(notice(over, is_first=False)).paragraphs[1] == f"It was: {message}."


def test_a_check_that_fails_is_no_request_that_failed() -> None:
    words = text(notice(incident(failures=0, requests=0, diagnosed=(), proposal=None)))
    assert words.paragraphs[0] == (
        "The check of 127.0.0.1:3001 fails: connection refused. No request has failed because of it yet."
    )
    assert "requests failed" not in words.paragraphs[1]
    assert words.title == "PAGE web1: check of 127.0.0.1:3001 fails, cause not established"


def test_retries_that_help_are_said() -> None:
    assert "A retry recovered 40 failed attempts." in text(notice(incident(failures=0, recovered=40))).paragraphs[1]
    words = text(notice(incident(failures=0, recovered=40, diagnosed=())))
    assert words.paragraphs[0] == "Attempts to reach 127.0.0.1:3001 fail, and retries recover them: connection refused."
    assert "A retry recovered 40 more." in text(notice(incident(recovered=40))).paragraphs[1]


def test_what_differs_between_a_check_that_passes_and_requests_that_fail_is_said() -> None:
    words = text(notice(incident(unlike_check="the check asks for / and requests ask for /api")))
    assert "The check passes, but requests fail: the check asks for / and requests ask for /api." in words.paragraphs


def test_many_of_everything_are_few() -> None:
    places = tuple(f"shop.example/{number}" for number in range(30))
    changes = tuple(Change(kind=ChangeKind.PACKAGE, subject=f"lib{n}", at=AT - timedelta(minutes=n)) for n in range(20))
    one = incident(
        location="", locations=places, changes=changes, proposal=Proposal(summary="x", diff="\n".join("+a" for _ in range(500)))
    )
    words = text(notice(one))
    assert words.title == "PAGE web1: 502 from 30 locations, wrong-port"
    assert next(one for one in words.paragraphs if one.startswith("Affected: ")).endswith("shop.example/7 and 22 more.")
    assert [len(part.lines) for part in words.parts if part.heading in ("", "Changed before")] == [41, 6]
    assert len(plain(words)) < 6000


@pytest.mark.parametrize("strange", HOSTILE)
@pytest.mark.parametrize("transition", list(Transition))
def test_text_of_strangers_is_one_line_without_controls_mentions_or_markup(strange: str, transition: Transition) -> None:
    one = closed(hostile(strange)) if transition is Transition.RESOLVED else hostile(strange)
    one = msgspec.structs.replace(one, closing=strange)
    words = text(notice(one, transition, is_first=transition is Transition.OPENED))
    strings = [words.title, *words.paragraphs, *(line for part in words.parts for line in part.lines)]
    assert all(line.isprintable() for line in strings), [line for line in strings if not line.isprintable()]
    assert len(words.title) <= 150
    assert all(len(line) <= 1100 for line in strings)
    everything = plain(words)
    everything.encode()
    assert not re.search(r"<[!@#]|@(channel|here|everyone|all)\b", everything)
    marked = page(words)
    assert marked.isprintable() or set(marked) - set("\n") <= {sign for sign in marked if sign.isprintable()}
    assert "<script" not in marked
    assert "<img" not in marked
    assert "onerror=alert(2)>" not in marked


def test_secrets_of_requests_are_not_in_a_message() -> None:
    url = (
        "GET /reset?token=eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U&pas"
        "sword=hunter2hunter2"
    )
    one: Incident = hostile(url)
    for state in (one, closed(one)):
        for marked in (plain(text(notice(state))), page(text(notice(state))), text(notice(state)).title):
            assert "hunter2" not in marked
            assert "eyJ" not in marked


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("<!channel> <@U1> <b>", "‹!channel> ‹@U1> <b>"),
        ("@here and @heretic, root@hereford.example", "(at)here and @heretic, root@hereford.example"),
        ("a\nb\x00c\x1b", "a b\\x00c\\x1b"),
        ("x" * 600, "x" * 499 + "…"),
    ],
)
def test_harmless(given: str, expected: str) -> None:
    assert harmless(given) == expected
