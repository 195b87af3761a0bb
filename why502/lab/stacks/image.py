"""The root directory that every stack boots from: built once from Debian, PyPI and npm packages, then read-only.

It lives in a cache directory named by the hash of `packages.toml`. Where packages come from is the machine's own business:
apt's sources, pip's and npm's configuration are used as they are.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path
from typing import Any

LISTS = Path(__file__).with_name("packages.toml")
VERSION = "3"  # raise it when the build itself changes
WHY502_PYTHON = "/opt/why502-venv/bin/python"
PRESEED = """\
phpmyadmin phpmyadmin/dbconfig-install boolean false
phpmyadmin phpmyadmin/reconfigure-webserver multiselect
"""
# Every service stays off until a stack starts it; what a fresh Debian would run at night is started by the scenes themselves.
UNITS_OFF = (
    *(
        "nginx apache2 haproxy varnish varnishncsa caddy hitch stunnel4 php8.2-fpm fcgiwrap tomcat10 jetty9 postgresql mariadb"
    ).split(),
    *(
        "redis-server memcached rabbitmq-server epmd dnsmasq netdata prometheus prometheus-node-exporter radicale supervisor"
    ).split(),
    *("unattended-upgrades nftables ufw cron uwsgi puma unicorn e2scrub_reap spawn-fcgi").split(),
    *("rsyslog lighttpd webhook prometheus-alertmanager mosquitto pgbouncer").split(),
    *("beanstalkd fail2ban nats-server redis-sentinel thin").split(),
    *("fcgiwrap.socket epmd.socket certbot.timer apt-daily.timer apt-daily-upgrade.timer logrotate.timer man-db.timer").split(),
    *("phpsessionclean.timer e2scrub_all.timer dpkg-db-backup.timer fstrim.timer apache-htcacheclean").split(),
)


def path() -> Path:
    """Return where the image of the present lists is or would be."""
    digest = hashlib.sha256(LISTS.read_bytes() + VERSION.encode()).hexdigest()[:16]
    cache = os.environ.get("WHY502_STACKS") or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "why502/stacks"
    return Path(cache) / digest


def is_built() -> bool:
    """Return whether it is complete."""
    return (path() / "done").exists()


def missing() -> str:
    """Return why no stack can run here, as one sentence; "" where they can."""
    if os.geteuid() != 0:
        return "needs root"
    if tools := [tool for tool in ("systemd-nspawn", "unshare", "nsenter", "ip") if not shutil.which(tool)]:
        return f"needs {', '.join(tools)}"
    return "" if is_built() else "needs the image of the stacks: scripts/stacks-image builds it"


def build() -> Path:
    """Build the image where it is not there yet, and return its root. Raises CalledProcessError with the step that failed."""
    place = path()
    place.parent.mkdir(parents=True, exist_ok=True)
    with (place.parent / f"{place.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not is_built():
            shutil.rmtree(place, ignore_errors=True)
            place.mkdir(parents=True)
            lists = tomllib.loads(LISTS.read_text())
            _debian(place / "root", lists["debian"])
            _python(place / "root", lists["python"])
            _npm(place / "root/opt/node", lists["npm"]["packages"])
            _next(place / "root", lists["next"])
            _quiet(place / "root")
            (place / "done").touch()
    return place / "root"


def _debian(root: Path, lists: dict[str, Any]) -> None:
    """Unpack and configure the Debian packages, from the mirrors that apt knows here."""
    wanted = "$(REPO_URI) $(CODENAME) $(COMPONENT)"
    asked = ["apt-get", "indextargets", "--format", wanted, "Created-By: Packages", "Origin: Debian"]
    lines = subprocess.run(asked, check=True, capture_output=True, text=True).stdout.splitlines()
    sources = [f"deb {line}" for line in dict.fromkeys(lines) if line.split()[1].startswith(lists["suite"])]
    with tempfile.NamedTemporaryFile("w", suffix=".list") as listed, tempfile.NamedTemporaryFile("w") as preseed:
        listed.write("".join(f"{line}\n" for line in sources))
        listed.flush()
        preseed.write(PRESEED)
        preseed.flush()
        argv = ["mmdebstrap", "--variant=minbase", "--format=directory", f"--include={','.join(lists['packages'].split())}"]
        argv += [
            f'--essential-hook=chroot "$1" debconf-set-selections < {preseed.name}',
            '--aptopt=APT::Install-Recommends "false"',
        ]
        _run(*argv, lists["suite"], str(root), listed.name)


def _python(root: Path, lists: dict[str, list[str]]) -> None:
    """Make the virtual environments. pip runs here, with this machine's configuration, and only fetches."""
    for name, packages in (("venv", lists["applications"]), ("why502-venv", lists["why502"])):
        wheels = root / "tmp/wheels"
        wheels.mkdir(parents=True, exist_ok=True)
        only = ["--only-binary=:all:", "--python-version=3.11", "--implementation=cp"]
        _run(sys.executable, "-m", "pip", "download", "-q", "-d", str(wheels), *only, *packages)
        _run("chroot", str(root), "python3", "-m", "venv", f"/opt/{name}")
        argv = [f"/opt/{name}/bin/pip", "install", "-q", "--no-index", "--find-links", "/tmp/wheels", *packages]
        _run("env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "chroot", str(root), *argv)
        shutil.rmtree(wheels)


def _npm(prefix: Path, packages: list[str]) -> None:
    """Install Node.js packages below a directory. npm runs here, with this machine's configuration."""
    prefix.mkdir(parents=True)
    _run("npm", "install", "--prefix", str(prefix), "--silent", "--no-audit", "--no-fund", *packages)


def _next(root: Path, lists: dict[str, Any]) -> None:
    """Build the application of Next.js with the image's own Node.js, and leave the compiler out of it afterwards."""
    place = root / "opt/next"
    _npm(place, lists["packages"])
    for name, text in lists["files"].items():
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_text(text)
    inside = ("unshare", "--mount", "--pid", "--fork", f"--mount-proc={root}/proc", "chroot", str(root))  # Node.js wants a /proc
    plain = ("env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "NEXT_TELEMETRY_DISABLED=1")
    _run(*plain, *inside, "sh", "-c", "cd /opt/next && node node_modules/next/dist/bin/next build")
    for compiler in (place / "node_modules/@next").glob("swc-*"):
        shutil.rmtree(compiler)
    shutil.rmtree(place / ".next/cache", ignore_errors=True)


def _quiet(root: Path) -> None:
    """Turn every service off, and make what a freshly installed machine has and a container lacks."""
    for unit in UNITS_OFF:
        subprocess.run(["systemctl", f"--root={root}", "disable", unit], check=False, capture_output=True)
    for module in ("mods-enabled/passenger.*", "mods-enabled/security2.*"):  # a stack that wants them says so (a2enmod)
        for link in (root / "etc/apache2").glob(module):
            link.unlink()
    for link in (root / "etc/nginx/modules-enabled").glob("*js*.conf"):
        link.unlink()
    (root / "etc/hostname").write_text("web1\n")
    (root / "etc/hosts").write_text("127.0.0.1 localhost web1\n::1 localhost ip6-localhost\n")
    (root / "etc/resolv.conf").unlink(missing_ok=True)
    (root / "etc/resolv.conf").write_text("nameserver 127.0.0.1\noptions timeout:1 attempts:1\n")
    (root / "var/log/journal").mkdir(exist_ok=True)
    (root / "etc/machine-id").write_text("")


def _run(*argv: str) -> None:
    subprocess.run(argv, check=True, stdin=subprocess.DEVNULL)


def main() -> int:
    """Build it, and print its root."""
    try:
        sys.stdout.write(f"{build()}\n")
    except (subprocess.CalledProcessError, OSError) as error:
        sys.stderr.write(f"why502: the image of the stacks could not be built: {error}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
