"""Kernel lines of old and new kernels, in the forms of dmesg, dmesg -T, syslog, the journal and /dev/kmsg."""

from __future__ import annotations

from datetime import datetime

import pytest
from said import check

from why502.logs.formats import kernel
from why502.model.logs import Symptom

OOM, CRASH, DROPPED = Symptom.OOM_KILLED, Symptom.PROCESS_CRASHED, Symptom.FIREWALL_DROPPED
LINES = [
    ("Memory cgroup out of memory: Killed process 206 (python3) total-vm:72360kB, anon-rss:61040kB, file-rss:2444kB, shmem-rss:0kB, UID:0 pgtables:172kB oom_score_adj:0", OOM, {"process": "python3", "process_pid": 206}),
    ("oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=/,mems_allowed=0,oom_memcg=/system.slice/hog.service,task_memcg=/system.slice/hog.service,task=python3,pid=206,uid=0", OOM, {"cgroup": "/system.slice/hog.service", "process_pid": 206}),
    ("oom-kill:constraint=CONSTRAINT_NONE,nodemask=(null),cpuset=/,mems_allowed=0,global_oom,task_memcg=/system.slice/ghog.service,task=python3,pid=328,uid=0", OOM, {"cgroup": "/system.slice/ghog.service"}),
    ("Out of memory: Killed process 328 (python3) total-vm:892704kB, anon-rss:881660kB, file-rss:0kB, shmem-rss:0kB, UID:0 pgtables:1792kB oom_score_adj:0", OOM, {"process_pid": 328}),
    ("Out of memory: Kill process 18694 (perl) score 246 or sacrifice child", OOM, {"process": "perl", "process_pid": 18694}),
    ("Killed process 18694 (perl) total-vm:1972392kB, anon-rss:1953348kB, file-rss:0kB", OOM, {"process": "perl"}),
    ("Killed process 21945 (tidb-server), UID 1000, total-vm:1kB, anon-rss:1kB, file-rss:0kB", OOM, {"process": "tidb-server"}),
    ("Memory cgroup out of memory: Kill process 18286 (java) score 933 or sacrifice child", OOM, {"process": "java"}),
    ("Out of Memory: Killed process 2592 (mysql).", OOM, {"process": "mysql", "process_pid": 2592}),
    ("Killed /system.slice/app.service due to memory pressure for /system.slice being 65.52% > 50.00% for > 20s with reclaim activity", OOM, {"cgroup": "/system.slice/app.service"}),
    ("python3 invoked oom-killer: gfp_mask=0x201da, order=0, oom_adj=0, oom_score_adj=0", None, {"process": "python3"}),
    ("python3[3394]: segfault at 0 ip 00007f8175471ad8 sp 00007fff7fbb9798 error 4 in libc.so.6[167ad8,7f8175330000+156000] likely on CPU 0 (core 0, socket 0)", CRASH, {"process": "python3", "process_pid": 3394, "code": "SIGSEGV"}),
    ("[32729.486332] nginx[63341]: segfault at 0 ip 00005596601ef57b sp 00007fff0162ba00 error 4 in nginx[5596601e2000+102000]", Symptom.PROXY_WORKER_DIED, {"process": "nginx"}),
    ("3,1358,3130582712,-;app[12]: segfault at 0 ip 0000 sp 0000 error 4 in app[400000+1000]", CRASH, {"process": "app"}),
    ("traps: node[1234] trap invalid opcode ip:5581 sp:7ffd error:0 in node[400000+1000]", CRASH, {"process": "node", "code": "SIGILL"}),
    ("traps: python3[123] general protection fault ip:7f01 sp:7ffd error:0 in libx.so[7f01+1000]", CRASH, {"process": "python3", "code": "SIGSEGV"}),
    ("traps: app[7] trap divide error ip:401 sp:7ffd error:0 in app[400000+1000]", CRASH, {"code": "SIGFPE"}),
    ("[Tue Nov 20 22:30:22 2018] nf_conntrack: table full, dropping packet", Symptom.CONNTRACK_FULL, {"at": datetime(2018, 11, 20, 22, 30, 22)}),
    ("nf_conntrack: nf_conntrack: table full, dropping packet", Symptom.CONNTRACK_FULL, {}),
    ("TCP: request_sock_TCP: Possible SYN flooding on port 80. Sending cookies.  Check SNMP counters.", Symptom.SYN_FLOOD, {"target": ":80"}),
    ("TCP: request_sock_TCP: Possible SYN flooding on port [::]:8080. Sending cookies.", Symptom.SYN_FLOOD, {"target": "[::]:8080"}),
    ("TCP: out of memory -- consider tuning tcp_mem", Symptom.MEMORY_EXHAUSTED, {}),
    ("[UFW BLOCK] IN=eth0 OUT= MAC=aa:bb SRC=10.0.0.1 DST=10.0.0.2 LEN=60 TTL=64 PROTO=TCP SPT=4444 DPT=3001 WINDOW=64240 SYN URGP=0", DROPPED, {"target": "10.0.0.2:3001", "client": "10.0.0.1"}),
    ("DROPIN=eth0 OUT= SRC=fe80::1 DST=fe80::2 LEN=60 PROTO=TCP SPT=4444 DPT=80 SYN URGP=0", DROPPED, {"target": "[fe80::2]:80"}),
    ("seen: IN= OUT=v0 SRC=10.0.0.1 DST=10.0.0.2 LEN=60 PROTO=TCP SPT=4444 DPT=3001 SYN URGP=0", None, {"target": "10.0.0.2:3001"}),
    ("INFO: task nginx:1234 blocked for more than 120 seconds.", Symptom.IO_SLOW, {"process": "nginx", "process_pid": 1234}),
    ("EXT4-fs (sda1): Remounting filesystem read-only", Symptom.IO_FAILED, {}),
    ("blk_update_request: I/O error, dev sda, sector 2048 op 0x0:(READ) flags 0x0", Symptom.IO_FAILED, {}),
    ("watchdog: BUG: soft lockup - CPU#1 stuck for 22s! [php-fpm8.2:1234]", Symptom.CPU_SHORT, {"process": "php-fpm8.2"}),
    ("VFS: file-max limit 1024 reached", Symptom.FILES_EXHAUSTED, {}),
]  # fmt: skip


@pytest.mark.parametrize(("line", "symptom", "told"), LINES)
def test_a_line(line: str, symptom: Symptom | None, told: dict[str, object]) -> None:
    check(kernel, line, symptom, **told)


@pytest.mark.parametrize(
    "prefix", ["[   12.345678] ", "[Tue Nov 20 22:30:22 2018] ", "web kernel: ", "6,1,2,-;", "web kernel: [ 12.345678] "]
)
def test_every_form_of_the_log(prefix: str) -> None:
    check(kernel, prefix + LINES[0][0], OOM, process="python3", process_pid=206)
    check(kernel, prefix + LINES[11][0], CRASH, process="python3", process_pid=3394)


@pytest.mark.parametrize(
    "line",
    [
        "nf_conntrack version 0.5.0 (65536 buckets, 262144 max)",
        "EXT4-fs (sda1): mounted filesystem with ordered data mode",
        "oom_score_adj was set",
        "worker process 264 exited on signal 11",
        'audit: type=1400 audit(1795214874.348:55): apparmor="DENIED" operation="create"',
    ],
)
def test_what_is_no_trouble(line: str) -> None:
    assert kernel.parse(line) is None
