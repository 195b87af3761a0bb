"""Sample: a configuration in which a rule must report a finding, and a similar one in which it must not."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from why502.diagnosis.causes import CAUSES
from why502.host.base import Stat
from why502.linter.engine import RULES, lint
from why502.linter.inputs import LintInput, gather
from why502.model.errors import Missing
from why502.model.file_kind import FileKind
from why502.model.finding import Risk

MAIN = "/etc/nginx/nginx.conf"
_AROUND = {
    "main": "{}",
    "http": "events {{}}\nhttp {{\n{}\n}}\n",
    "server": "events {{}}\nhttp {{\nserver {{\nlisten 8080;\nserver_name www.example.org;\n{}\n}}\n}}\n",
    "location": "events {{}}\nhttp {{\nserver {{\nlisten 8080;\nserver_name www.example.org;\nlocation / {{\n{}\n}}\n}}\n}}\n",
}


@dataclass(frozen=True)
class Pair:
    """A configuration, or a part of one, in which a rule must report a finding, and one in which it must not."""

    number: int
    bad: str
    good: str

    @property
    def rule(self) -> str:
        return f"W502-{self.number:03d}"


@dataclass(frozen=True)
class Sample(Pair):
    """`within`: main, http, server or location. `files`: further files, by path. `refused`: nginx 1.22 itself rejects `bad`."""

    within: str = "http"
    version: str = "1.22.1"
    bad_files: Mapping[str, str] | None = None
    good_files: Mapping[str, str] | None = None
    refused: bool = False

    def text(self, content: str) -> str:
        return _AROUND[self.within].format(content)


def has_samples(product: str, samples: Iterable[Pair]) -> bool:
    """Return whether each rule about a product has a sample, and belongs to a cause."""
    own = {rule.id for rule in RULES.values() if rule.product == product}
    return {sample.rule for sample in samples} == own and all(RULES[id_].cause in CAUSES for id_ in own)


class Files:
    """A Host that consists only of files."""

    name = "files"

    def __init__(self, files: Mapping[str, str | bytes]) -> None:
        self.files = {path: text.encode() if isinstance(text, str) else text for path, text in files.items()}

    def read(self, path: str, *, limit_bytes: int = 16 << 20) -> bytes:
        if path not in self.files:
            raise Missing("no such file or directory")
        return self.files[path][:limit_bytes]

    def list(self, path: str) -> list[str]:
        start = path.rstrip("/") + "/"
        names = {name.removeprefix(start).split("/")[0] for name in self.files if name.startswith(start)}
        if not names:
            raise Missing("no such file or directory")
        return sorted(names)

    def stat(self, path: str, *, follow: bool = True) -> Stat:
        if path in self.files:
            inode = sorted(self.files).index(path) + 1
            return Stat(kind=FileKind.FILE, mode=0o644, uid=0, gid=0, size_bytes=len(self.files[path]), modified_s=0, inode=inode)
        self.list(path)
        return Stat(kind=FileKind.DIRECTORY, mode=0o755, uid=0, gid=0, size_bytes=0, modified_s=0)

    def acting_as(self, uid: int) -> Files:
        return self

    def supplier(self, path: str) -> int:
        return 0


def given(files: Mapping[str, str | bytes], version: str = "1.22.1", *paths: str) -> LintInput:
    return gather(Files(files), paths or sorted(files), version)  # type: ignore[arg-type]


def found(files: Mapping[str, str | bytes], version: str = "1.22.1", *paths: str) -> tuple[Risk, ...]:
    """Return all findings of a set of files."""
    risks: dict[Risk, None] = {}
    for deployment in given(files, version, *paths).deployments:
        some, failed = lint(deployment)
        assert failed == ()
        risks.update(dict.fromkeys(some))
    return tuple(risks)
