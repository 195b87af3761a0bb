"""`why502 generate logrotate`: rotates the logs of a site, and tells the master that is really there to open new ones."""

from __future__ import annotations

from why502.generate import options
from why502.generate.document import Document
from why502.generate.kind import Kind, Made
from why502.generate.nginx import installed
from why502.generate.options import Given, Option
from why502.generate.program import NAME, user
from why502.generate.remark import row
from why502.generate.safe import bare, fill, ini
from why502.host.base import Host

OPTIONS = (
    Option(name="--domain", metavar="NAME", help="The site whose logs are rotated. Default: all logs in the directory."),
    NAME,
    Option(name="--log-dir", metavar="DIR", help="Default: /var/log/nginx."),
    Option(name="--pid", metavar="FILE", help="The PID file of the nginx master. Default: that of the installed nginx."),
    Option(name="--owner", metavar="USER", help="The owner of new logs. Default: the user of nginx's workers."),
    Option(name="--keep", metavar="N", help="Days of logs to keep. Default: 14."),
)


def emit(given: Given, host: Host) -> Made:
    """Return the file. Raises Why502Error."""
    directory = options.path("--log-dir", given.get("--log-dir", "/var/log/nginx")).rstrip("/")
    domain = options.domain("--domain", given.get("--domain")).removeprefix("*.") if given.has("--domain") else ""
    pid_file = options.path("--pid", given.get("--pid") or installed.pid_file(host))
    owner = user("--owner", given.get("--owner") or installed.user(host))
    keep = options.number("--keep", given.get("--keep", "14"), 1, 3650)
    rows = (
        row("daily", "at most a day of logs in one file"),
        row(f"rotate {keep}", "number of files kept; the default, 0, would delete each at once"),
        row("missingok", "a site that got no requests has no log yet"),
        row("notifempty", "an empty log is not rotated"),
        row("compress", "compressed logs take a tenth of the space"),
        row("delaycompress", "the newest rotated log stays uncompressed: workers may still write to it"),
        row(f"create 0640 {ini(owner)} adm", "creates the new file at once, so no request between rename and reopen is lost"),
        row("sharedscripts", "one signal for all files, to the running master"),
    )
    body = fill(
        "logrotate/site.j2",
        files=bare(f"{directory}/{domain or '*'}.*log" if domain else f"{directory}/*.log"),
        rows=rows,
        pid=bare(pid_file),
    )
    name = options.name("--name", given.get("--name") or (f"site-{domain.replace('.', '-')}" if domain else "nginx-sites"))
    found = (("--pid", pid_file), ("--owner", owner))
    pinned = tuple(pair for pair in found if not given.has(pair[0]))
    return Made(documents=(Document(name=name, body=body),), product="logrotate", pinned=pinned)


KIND = Kind(
    name="logrotate",
    help="Write the rotation of a site's logs.",
    example="why502 generate logrotate --domain shop.example",
    options=OPTIONS,
    emit=emit,
    home="/etc/logrotate.d",
    order=6,
)
