"""SELinux, AppArmor and seccomp records in every form in which they are kept.

Those of ausearch -i, setroubleshoot and seccomp are written, not recorded.
"""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from said import check

from why502.logs.formats import audit
from why502.model.logs import Symptom

SELINUX, APPARMOR = Symptom.SELINUX_DENIED, Symptom.APPARMOR_DENIED
CONTEXTS = "scontext=system_u:system_r:httpd_t:s0 tcontext=system_u:object_r:ntop_port_t:s0 tclass=tcp_socket permissive=0"
NGINX = {"process": "nginx", "process_pid": 379}
LINES = [
    (f'type=AVC msg=audit(1795214897.184:86): avc:  denied  {{ name_connect }} for  pid=379 comm="nginx" dest=3001 {CONTEXTS}', SELINUX, NGINX | {"target": ":3001", "code": "name_connect", "at": datetime(2026, 11, 20, 22, 48, 17, 184000, tzinfo=UTC)}),
    (f'vm audit[379]: AVC avc:  denied  {{ name_connect }} for  pid=379 comm="nginx" dest=3001 {CONTEXTS}', SELINUX, NGINX | {"target": ":3001"}),
    (f"type=AVC msg=audit(11/21/2026 00:22:33.123:456) : avc:  denied  {{ name_connect }} for  pid=379 comm=nginx dest=3001 {CONTEXTS}", SELINUX, NGINX | {"target": ":3001"}),
    ('type=AVC msg=audit(1795214897.044:85): avc:  denied  { write } for  pid=380 comm="nginx" name="app.sock" dev="tmpfs" ino=451 scontext=system_u:system_r:httpd_t:s0 tcontext=system_u:object_r:initrc_runtime_t:s0 tclass=sock_file permissive=0', SELINUX, {"file": "app.sock", "target": None}),
    ('type=AVC msg=audit(1795214895.484:76): avc:  denied  { connectto } for  pid=341 comm="nginx" path="/run/app.sock" scontext=x tcontext=system_u:system_r:initrc_t:s0 tclass=unix_stream_socket permissive=0', SELINUX, {"target": "unix:/run/app.sock"}),
    ('type=AVC msg=audit(1795214895.484:76): avc:  denied  { connectto } for  pid=341 comm="nginx" path="/run/app.sock" scontext=x tcontext=y tclass=unix_stream_socket permissive=1', None, {}),
    ('type=AVC msg=audit(1421274762.358:1081): avc:  denied  { name_connect } for  pid=5642 comm="nginx" dest=8081 scontext=unconfined_u:system_r:httpd_t:s0 tcontext=', SELINUX, {"target": ":8081"}),
    ("SELinux is preventing nginx from name_connect access on the tcp_socket port 3001. For complete SELinux messages run: sealert -l 1", SELINUX, {"process": "nginx", "target": ":3001", "code": "name_connect"}),
    ("SELinux is preventing /usr/sbin/nginx from write access on the sock_file app.sock.", SELINUX, {"process": "nginx", "code": "write"}),
    ('type=AVC msg=audit(1795214873.008:47): apparmor="DENIED" operation="create" profile="/usr/sbin/nginx" pid=355 comm="nginx" family="inet6" sock_type="stream" protocol=0 requested_mask="create" denied_mask="create"', APPARMOR, {"process": "nginx", "process_pid": 355, "code": "create"}),
    ('type=AVC msg=audit(1795214873.136:48): apparmor="DENIED" operation="open" profile="/usr/sbin/nginx" name="/srv/site/s/index.html" pid=355 comm="nginx" requested_mask="r" denied_mask="r" fsuid=33 ouid=0', APPARMOR, {"file": "/srv/site/s/index.html"}),
    ('[   16.888463] audit: type=1400 audit(1795214874.348:55): apparmor="DENIED" operation="create" profile="/usr/sbin/nginx" pid=355 comm="nginx" family="inet6" denied_mask="create"', APPARMOR, {"process_pid": 355}),
    ('audit: type=1400 audit(1795214874.348:55): apparmor="DENIED" operation="connect" class="file" info="Failed name lookup - disconnected path" error=-13 profile="/usr/bin/mda" name="run/mysqld/mysqld.sock" pid=15111 comm=6D6461207031 requested_mask="wr" denied_mask="wr" fsuid=0 ouid=113', APPARMOR, {"process": "mda p1", "file": "run/mysqld/mysqld.sock"}),
    ('type=AVC msg=audit(1795214873.008:47): apparmor="ALLOWED" operation="create" profile="x" pid=355 comm="nginx" denied_mask="create"', None, {}),
    ('type=SECCOMP msg=audit(1795214874.348:55): auid=4294967295 uid=33 gid=33 ses=4294967295 pid=123 comm="nginx" exe="/usr/sbin/nginx" sig=31 arch=c000003e syscall=41 compat=0 ip=0x7f code=0x80000000', Symptom.SANDBOX_DENIED, {"process": "nginx", "process_pid": 123}),
]  # fmt: skip


@pytest.mark.parametrize(("line", "symptom", "told"), LINES)
def test_a_line(line: str, symptom: Symptom | None, told: dict[str, object]) -> None:
    check(audit, line, symptom, **told)


@pytest.mark.parametrize(
    "line",
    [
        "type=SERVICE_START msg=audit(1795214874.348:55): pid=1 uid=0 msg='unit=nginx comm=\"systemd\" res=success'",
        'type=AVC msg=audit(1.1:1): apparmor="STATUS" operation="profile_load" profile="unconfined" name="/usr/sbin/nginx" pid=1',
        "SELinux is preventing us from shipping, they say",
    ],
)
def test_what_is_no_denial(line: str) -> None:
    assert audit.parse(line) is None
