"""lint(): runs every rule over a deployment. RULES holds all rules by id: those of the causes and those of `linter/rules`."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterable, Iterator
from types import ModuleType

import msgspec

from why502.deployment.files import Deployment
from why502.deployment.rule import Rule
from why502.diagnosis.causes import CAUSES
from why502.linter import rules
from why502.model.errors import Why502Error
from why502.model.finding import Risk, Severity
from why502.model.patterns import lazy
from why502.model.snapshot import Gap


def _find() -> dict[str, Rule]:
    """Return every rule by id. Raises ValueError if two have the same id or name."""
    found: dict[str, Rule] = {}
    for rule in _all():
        if rule.id in found or any(rule.name == other.name for other in found.values()):
            raise ValueError(f"two rules are called {rule.id} {rule.name}")
        found[rule.id] = rule
    return dict(sorted(found.items()))


def _all() -> Iterator[Rule]:
    for cause in CAUSES.values():
        for rule in cause.foresee:
            yield msgspec.structs.replace(rule, cause=rule.cause or cause.id)
    for module in pkgutil.iter_modules(rules.__path__):
        if module.ispkg:
            package = importlib.import_module(f"{rules.__name__}.{module.name}")
            yield from (msgspec.structs.replace(rule, product=module.name) for rule in _of(package))
    yield from _of(rules)


def _of(package: ModuleType) -> Iterator[Rule]:
    """Yield the rules in the modules of a package."""
    for module in pkgutil.iter_modules(package.__path__):
        if not module.ispkg:
            content = vars(importlib.import_module(f"{package.__name__}.{module.name}"))
            yield from (value for value in content.values() if isinstance(value, Rule))


RULES: dict[str, Rule] = _find()
_UNBALANCED = ('unexpected "}"', "unexpected end of file")
_OF_SYNTAX = frozenset({"W502-001", "W502-002", "W502-160"})  # what a brace or semicolon that is missing leads to

# The modules that nginx's own source builds as files, and njs, whose directives the table has.
_OWN_MODULE = lazy(r"ngx_(?:mail|stream|stream_geoip|stream_js|http_(?:geoip|image_filter|js|perl|xslt_filter))_module\.so")


def choose(select: Iterable[str] = (), ignore: Iterable[str] = ()) -> tuple[Rule, ...]:
    """Return the selected rules (all if none are selected) without the ignored ones; each by id, name, cause or severity.

    Raises Why502Error for a word that matches no rule.
    """
    wanted = {rule.id for word in select for rule in meant(word)} or set(RULES)
    unwanted = {rule.id for word in ignore for rule in meant(word)}
    return tuple(rule for rule in RULES.values() if rule.id in wanted - unwanted)


def meant(word: str) -> tuple[Rule, ...]:
    """Return the rules that a word matches: an id (in any case), a name, a cause or a severity."""
    found = tuple(rule for rule in RULES.values() if word.upper() == rule.id or word in (rule.name, rule.cause, rule.severity))
    if not found:
        raise Why502Error(f"no rule is called {word!r}", "`why502 lint --rules` shows them all.")
    return found


def lint(deployment: Deployment, chosen: Iterable[Rule] | None = None) -> tuple[tuple[Risk, ...], tuple[Gap, ...]]:
    """Return the risks of a deployment in file order, each with its rule, cause and severity; and the errors of rules that
    failed.
    """
    found: dict[Risk, None] = {}
    gaps = []
    astray = _astray(deployment)
    unbalanced = _unbalanced(deployment)
    is_own_build = deployment.is_own_build or _loads_modules_of_others(deployment)
    for rule in RULES.values() if chosen is None else chosen:
        if rule.product != deployment.product:
            continue
        try:
            risks = list(rule.looks(deployment))
        except Exception as error:  # a bug in one rule: the others still run
            gaps.append(Gap(source=f"rule {rule.id}", reason=f"it failed: {type(error).__name__}: {error}", hint="report this"))
            continue
        for risk in risks:
            if _is_astray(risk, astray) or (risk.at and risk.at.file in unbalanced and rule.id not in _OF_SYNTAX):
                continue
            is_doubtful = risk.at is not None and risk.at.file in deployment.doubtful
            is_doubtful = is_doubtful or (rule.depends_on_build and is_own_build)
            severity = Severity.NOTE if is_doubtful else risk.severity or rule.severity
            found[msgspec.structs.replace(risk, rule=rule.id, cause=risk.cause or rule.cause, severity=severity)] = None
    return tuple(sorted(found, key=_order)), tuple(gaps)


def _astray(deployment: Deployment) -> dict[str, int]:
    """Return, by file, the place of a misplaced quotation mark, after which strings may be read as directives: nothing after
    it is
    reliable.
    """
    found: dict[str, int] = {}
    for tree in deployment.configuration.trees:
        for problem in tree.problems:
            if (
                problem.at
                and problem.message.startswith(('unexpected "', "too long parameter"))
                and problem.message[12:13] not in "{};"
            ):
                found.setdefault(problem.at.file, problem.at.start)
    return found


def _unbalanced(deployment: Deployment) -> frozenset[str]:
    """Return the files with a brace too many or too few: which block anything in them belongs to is not known."""
    return frozenset(
        problem.at.file
        for tree in deployment.configuration.trees
        for problem in tree.problems
        if problem.at and problem.message.startswith(_UNBALANCED)
    )


def _loads_modules_of_others(deployment: Deployment) -> bool:
    """Return whether the configuration loads a module that is not nginx's own: it may bring any directive and parameter."""
    return any(
        directive.args and not _OWN_MODULE.fullmatch(directive.args[0].rpartition("/")[2])
        for _, directive in deployment.uses("load_module")
    )


def _is_astray(risk: Risk, astray: dict[str, int]) -> bool:
    return risk.at is not None and risk.at.start > astray.get(risk.at.file, risk.at.start)


def _order(risk: Risk) -> tuple[str, int, int, str, str]:
    at = risk.at
    severity = risk.severity or Severity.NOTE
    return (at.file if at else "", at.line if at else 0, -severity.rank, risk.rule, risk.message)
