"""Where a syslog daemon writes the messages of one program, by the rules of its configuration."""

from __future__ import annotations

from pathlib import Path

import pytest

from why502.host.directory import DirectoryHost
from why502.machine.syslog_rules import files

DEBIAN = """\
# /etc/rsyslog.conf of Debian 12
module(load="imuxsock") # provides support for local system logging
$FileOwner root
$IncludeConfig /etc/rsyslog.d/*.conf
auth,authpriv.*                 /var/log/auth.log
*.*;auth,authpriv.none          -/var/log/syslog
kern.*                          -/var/log/kern.log
mail.err                        /var/log/mail.err
*.emerg                         :omusrmsg:*
"""
HAPROXY = """\
# Create an additional socket in haproxy's chroot
$AddUnixListenSocket /var/lib/haproxy/dev/log
:programname, startswith, "haproxy" {
  /var/log/haproxy.log
  stop
}
"""


def machine(root: Path, **texts: str) -> DirectoryHost:
    """Return a machine whose /etc has these files: `rsyslog.conf`, or what is below `rsyslog.d`."""
    for name, text in texts.items():
        path = root / "etc" / name.replace("__", "/").replace("_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return DirectoryHost(str(root))


@pytest.mark.parametrize(
    ("facility", "program", "found"),
    [
        ("local0", "haproxy", ("/var/log/haproxy.log",)),  # and no later rule sees it
        ("local0", "haproxy2", ("/var/log/haproxy.log",)),
        ("local1", "apache2", ("/var/log/syslog",)),
        ("auth", "apache2", ("/var/log/auth.log",)),
        ("kern", "apache2", ("/var/log/syslog", "/var/log/kern.log")),
        ("mail", "postfix", ("/var/log/syslog", "/var/log/mail.err")),
    ],
)
def test_debians_rules(tmp_path: Path, facility: str, program: str, found: tuple[str, ...]) -> None:
    host = machine(tmp_path, rsyslog_conf=DEBIAN, **{"rsyslog_d__49-haproxy_conf": HAPROXY})
    assert files(host, facility, program) == found


@pytest.mark.parametrize(
    ("rule", "is_taken"),
    [
        ("local1.* /log", True),
        ("local1.err -/log", True),
        ("local0,local1.warning /log;RSYSLOG_TraditionalFileFormat", True),
        ("local1.crit /log", False),
        ("local1.=info /log", False),
        ("*.*;local1.none /log", False),
        ("*.info;local1.!err /log", False),
        ("local1.* @logs.example:514", False),
        ("local1.* |/run/pipe", False),
        ("if $programname == 'apache2' then /log", True),
        ('if ($programname == "apache2") then {\n  action(type="omfile" file="/log")\n  stop\n}', True),
        ('local1.* action(type="omfile"\n  file="/log")', False),  # a call on several lines is not read
        (':programname, isequal, "nginx" /log', False),
        (':programname, isequal, "nginx" ~\nlocal1.* /log', True),
        (':programname, contains, "ache" /log\n& stop', True),
        ("# local1.* /log", False),
    ],
)
def test_a_rule(tmp_path: Path, rule: str, *, is_taken: bool) -> None:
    assert files(machine(tmp_path, rsyslog_conf=f"{rule}\n"), "local1", "apache2") == (("/log",) if is_taken else ())


def test_the_simpler_daemons_have_a_file_of_their_own_and_many_machines_none(tmp_path: Path) -> None:
    assert files(DirectoryHost(str(tmp_path)), "local1", "apache2") == ()
    assert files(machine(tmp_path, syslog_conf="*.err /var/log/messages\n"), "local1", "apache2") == ("/var/log/messages",)


def test_a_file_that_includes_itself_ends(tmp_path: Path) -> None:
    host = machine(tmp_path, rsyslog_conf='include(file="/etc/rsyslog.conf")\nlocal1.* /log\n')
    assert files(host, "local1", "apache2") == ("/log",)


@pytest.mark.parametrize("line", ["{" * 40_000, "a." * 40_000, "if ($programname == " + "(" * 40_000, "*.*;" * 20_000 + " /log"])
def test_a_hostile_line_is_no_rule(tmp_path: Path, line: str) -> None:
    assert files(machine(tmp_path, rsyslog_conf=f"{line}\n"), "local1", "apache2") == ()
