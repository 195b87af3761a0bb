"""An incident with chosen words in every text, such as those of an attacker."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from why502.model.finding import Evidence, Finding, Layer
from why502.model.remedy import Edit, Remedy, Run
from why502.model.target import Target
from why502.watch.model import Change, ChangeKind, Diagnosed, Incident, Occasion, Proposal, Severity, Step

NOW = datetime(2026, 11, 21, 3, 0, tzinfo=UTC)
DIFF = "--- /etc/nginx/nginx.conf\n+++ /etc/nginx/nginx.conf\n-proxy_pass http://127.0.0.1:3001;\n+proxy_pass http://127.0.0.1:3000;\n"
HOSTILE = [
    "\x1b]0;owned\x07\x1b[2J",
    "a\r\nRESOLVED: b\nc\x0b\x85\u2028d",
    "\u202egnp.exe\u200b",
    "\udcff\ud800",
    "</pre><script>alert(1)</script>",
    "``` | `x` [a](javascript:alert(1)) **x** | \n# head\n---\n![x](http://a/)",
]


def incident(words: str = "connection refused", *, closed: bool = True) -> Incident:
    """Return an incident with the words in every text."""
    edit = Edit(file="/etc/nginx/nginx.conf", line=18, start=0, end=1, before="1", after="0", diff=DIFF)
    finding = Finding(
        cause="wrong-port",
        layer=Layer.PROXY,
        confidence=0.95,
        message=f"nginx connects to 127.0.0.1:3001, where nothing listens: {words}",
        target=Target(host="127.0.0.1", port=3001),
        statuses=(502,),
        failures=41,
        evidence=(Evidence(message=words, weight=4, source=words), Evidence(message=words, weight=-1)),
        remedies=(Remedy(message=f"let the proxy connect to port 3000, {words}", steps=(edit, Run(argv=("nginx", words)))),),
    )
    unit = f"app.service{words}"
    change = Change(kind=ChangeKind.UNIT, subject=unit, at=NOW - timedelta(seconds=40), detail=words, units=(unit,))
    return Incident(
        id="3f9c01d2",
        key="v1:1",
        host=f"web1{words}",
        proxy="nginx",
        symptom="connection-refused",
        target=f"127.0.0.1:3001{words}",
        location=f"shop.example/{words}",
        locations=(f"shop.example/{words}", "shop.example/api/"),
        targets=(words,),
        opened_at=NOW,
        closed_at=NOW + timedelta(minutes=5) if closed else None,
        closing=f"requests succeed again: {words}" if closed else "",
        first_failure_at=NOW - timedelta(seconds=2),
        last_failure_at=NOW + timedelta(minutes=4),
        failures=41,
        requests=900,
        recovered=3,
        symptoms={"connection-refused": 41},
        severity=Severity.PAGE,
        diagnosed=(Diagnosed(at=NOW, occasion=Occasion.OPENED, finding=finding, reason=words),),
        proposal=Proposal(
            summary=f"another port, {words}", diff=DIFF, command=f"systemctl reload nginx {words}", is_valid=True, test=words
        ),
        changes=(change,),
        earlier="11111111",
        timeline=(Step(at=NOW, message=f"opened: {words}"), Step(at=NOW + timedelta(minutes=5), message=f"closed: {words}")),
        labels={"team": words},
    )
