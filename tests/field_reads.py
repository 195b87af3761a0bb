"""Finds the fields of the model's values that some modules read, from their source text (ast), without running them."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

Read = tuple[str, str]  # class, field
_TEXT = (ast.Constant, ast.JoinedStr)


@dataclass
class Program:
    """All modules of a package: their annotations, and what each function reads."""

    annotations: dict[str, dict[str, ast.expr]] = field(
        default_factory=dict
    )  # of a class: its attributes, and results of its methods
    bases: dict[str, set[str]] = field(default_factory=dict)
    results: dict[str, list[ast.expr | None]] = field(default_factory=dict)  # of functions, by name
    values: dict[str, list[ast.expr]] = field(default_factory=dict)  # annotations of module variables, by name
    aliases: dict[str, ast.expr] = field(default_factory=dict)
    _definers: dict[str, dict[str, set[str]]] = field(default_factory=dict)  # of an attribute: cached results of definers()

    def definers(self, name: str) -> dict[str, set[str]]:
        """Return the classes that have an attribute, and which of them and their bases define it."""
        if name not in self._definers:
            self._definers[name] = {cls: self._defining(cls, name) for cls in self._with_subclasses(self._owners.get(name, ()))}
        return self._definers[name]

    @cached_property
    def _owners(self) -> dict[str, set[str]]:
        """The classes that define each attribute themselves."""
        found: dict[str, set[str]] = {}
        for cls, attributes in self.annotations.items():
            for name in attributes:
                found.setdefault(name, set()).add(cls)
        return found

    @cached_property
    def _subclasses(self) -> dict[str, set[str]]:
        """The direct subclasses of each class."""
        found: dict[str, set[str]] = {}
        for cls, bases in self.bases.items():
            for base in bases:
                found.setdefault(base, set()).add(cls)
        return found

    def _with_subclasses(self, classes: Iterable[str]) -> set[str]:
        found, left = set[str](), list(classes)
        while left:
            if (cls := left.pop()) not in found:
                found.add(cls)
                left += self._subclasses.get(cls, ())
        return found

    def _defining(self, cls: str, name: str) -> set[str]:
        own = {cls} if name in self.annotations.get(cls, {}) else set()
        return own.union(*(self._defining(base, name) for base in self.bases.get(cls, ())))

    def attribute(self, cls: str, name: str) -> ast.expr | None:
        """Return the annotation of an attribute of a class or of its bases."""
        if (own := self.annotations.get(cls, {}).get(name)) is not None:
            return own
        return next((found for base in self.bases.get(cls, ()) if (found := self.attribute(base, name)) is not None), None)

    def has(self, cls: str, name: str) -> bool:
        """Return whether a class has such an attribute, property or method."""
        return self.attribute(cls, name) is not None

    def classes(self, annotation: ast.expr | None) -> frozenset[str]:
        """Return the classes named in an annotation."""
        if annotation is None:
            return frozenset()
        if isinstance(annotation, ast.Constant) and isinstance(annotation.value, str):
            annotation = ast.parse(annotation.value, mode="eval").body
        found: set[str] = set()
        for node in ast.walk(annotation):
            name = node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""
            if name in self.annotations:
                found.add(name)
            elif name in self.aliases:
                found |= self.classes(self.aliases[name])
            elif isinstance(node, ast.Constant) and isinstance(node.value, str) and node is not annotation:
                found |= {node.value} & self.annotations.keys()
        return frozenset(found)


_UNKNOWN = ast.Constant(value=None)


def program(trees: Iterable[ast.Module]) -> Program:
    """Return the annotations of modules."""
    result = Program()
    for tree in trees:
        for node in tree.body:
            if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
                result.values.setdefault(node.target.id, []).append(node.annotation)
            elif isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name):
                if isinstance(node.value, ast.Subscript | ast.BinOp):
                    result.aliases.setdefault(node.targets[0].id, node.value)
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef):
                _add_class(node, result)
            elif isinstance(node, ast.FunctionDef):
                result.results.setdefault(node.name, []).append(node.returns)
    return result


def _add_class(node: ast.ClassDef, result: Program) -> None:
    mine = result.annotations.setdefault(node.name, {})
    result.bases.setdefault(node.name, set()).update(base.id for base in node.bases if isinstance(base, ast.Name))
    for part in node.body:
        if isinstance(part, ast.AnnAssign) and isinstance(part.target, ast.Name):
            mine[part.target.id] = part.annotation
        elif isinstance(part, ast.FunctionDef):
            mine[part.name] = part.returns or _UNKNOWN
            for inner in ast.walk(part):
                if isinstance(inner, ast.AnnAssign) and isinstance(inner.target, ast.Attribute):
                    mine.setdefault(inner.target.attr, inner.annotation)
                elif isinstance(inner, ast.Assign) and isinstance(inner.targets[0], ast.Attribute):
                    mine.setdefault(inner.targets[0].attr, _UNKNOWN)


def reads(tree: ast.Module, known: Program, watched: frozenset[str]) -> Iterator[Read]:
    """Yield the fields of the watched classes that a module reads, inside and outside of functions, with repetitions."""
    names = [node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    yield from _Scope(known, watched, {}, "", frozenset(names)).run(tree.body)


@dataclass
class _Scope:
    """A function body: the types of its names."""

    known: Program
    watched: frozenset[str]
    env: dict[str, frozenset[str]]
    cls: str
    texts: frozenset[str]  # every string of the module: tables from which a getattr may take a name

    def run(self, body: list[ast.stmt]) -> Iterator[Read]:
        """Yield the reads of statements. Names are resolved first, in two rounds, so that their order does not matter."""
        own = list(self._own(body))
        for _ in range(2):
            for node in own:
                self._bind(node)
        for node in own:
            if isinstance(node, ast.FunctionDef | ast.Lambda):
                continue
            yield from self._read(node)
        for inner, cls in self._inner(body):
            env = dict(self.env)
            arguments = [*inner.args.posonlyargs, *inner.args.args, *inner.args.kwonlyargs]
            for argument in arguments:
                env[argument.arg] = self.known.classes(argument.annotation)
            if cls and arguments and arguments[0].arg == "self":
                env["self"] = frozenset({cls})
            yield from _Scope(self.known, self.watched, env, cls, self.texts).run(inner.body)

    def _own(self, body: Iterable[ast.AST]) -> Iterator[ast.AST]:
        """Yield the nodes of this body, without those of the functions and classes in it."""
        for node in body:
            yield node
            if isinstance(node, ast.FunctionDef):
                yield from self._own([*node.decorator_list, *node.args.defaults])
            elif not isinstance(node, ast.ClassDef):
                yield from self._own(ast.iter_child_nodes(node))

    def _inner(self, body: Iterable[ast.AST], cls: str = "") -> Iterator[tuple[ast.FunctionDef, str]]:
        for node in body:
            if isinstance(node, ast.FunctionDef):
                yield node, cls
            elif isinstance(node, ast.ClassDef):
                yield from self._inner(node.body, node.name)
            else:
                yield from self._inner(ast.iter_child_nodes(node), cls)

    def _bind(self, node: ast.AST) -> None:
        match node:
            case ast.Assign(targets=targets, value=value):
                for target in targets:
                    self._give(target, value)
            case ast.AnnAssign(target=ast.Name(id=name), annotation=annotation):
                self.env[name] = self.known.classes(annotation)
            case ast.NamedExpr(target=target, value=value) | ast.comprehension(target=target, iter=value):
                self._give(target, value)
            case ast.For(target=target, iter=value):
                self._give(target, value)
            case ast.withitem(context_expr=value, optional_vars=ast.expr() as target):
                self._give(target, value)
            case ast.Call(args=args, keywords=keywords):
                given = [*args, *(keyword.value for keyword in keywords)]
                taken = frozenset().union(*(self.type(each) for each in given if not isinstance(each, ast.Lambda)))
                for each in given:
                    if isinstance(each, ast.Lambda):
                        for argument in each.args.args:
                            self._add(argument.arg, taken)
            case ast.Match(subject=subject, cases=cases):
                for case in cases:
                    self._bind_pattern(case.pattern, self.type(subject))

    def _bind_pattern(self, pattern: ast.pattern, kind: frozenset[str]) -> None:
        match pattern:
            case ast.MatchAs(pattern=inner, name=name):
                if isinstance(inner, ast.MatchClass):
                    kind = self.known.classes(inner.cls)
                if name:
                    self._add(name, kind)
                if inner is not None:
                    self._bind_pattern(inner, kind)
            case ast.MatchClass(cls=cls, kwd_attrs=names, kwd_patterns=patterns):
                owners = self.known.classes(cls)
                for name, inner in zip(names, patterns, strict=True):
                    self._bind_pattern(inner, self._members(owners, name))
            case ast.MatchSequence(patterns=patterns) | ast.MatchOr(patterns=patterns):
                for inner in patterns:
                    self._bind_pattern(inner, kind)

    def _give(self, target: ast.expr, value: ast.expr) -> None:
        if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple) and len(target.elts) == len(value.elts):
            for one, each in zip(target.elts, value.elts, strict=True):
                self._give(one, each)
            return
        kind = self.type(value)
        for node in ast.walk(target):
            if isinstance(node, ast.Name):
                self._add(node.id, kind)

    def _add(self, name: str, kind: frozenset[str]) -> None:
        self.env[name] = self.env.get(name, frozenset()) | kind

    def _members(self, owners: frozenset[str], name: str) -> frozenset[str]:
        return frozenset().union(*(self.known.classes(self.known.attribute(owner, name)) for owner in owners))

    def type(self, node: ast.AST | None) -> frozenset[str]:
        """Return the possible classes of an expression's value or elements; none if unknown."""
        match node:
            case ast.Name(id=name):
                if name in self.env:
                    return self.env[name]
                if name in self.known.annotations:
                    return frozenset({name})
                return frozenset().union(*map(self.known.classes, self.known.values.get(name, ())))
            case ast.Attribute(value=value, attr=name):
                return self._members(self.type(value), name)
            case ast.Call(func=function, args=args, keywords=keywords):
                return self._result(function, [*args, *(keyword.value for keyword in keywords)])
            case ast.Compare() | ast.Constant() | ast.JoinedStr() | None:
                return frozenset()
            case ast.Subscript(value=value):
                return self.type(value)
            case ast.IfExp(body=body, orelse=orelse):
                return self.type(body) | self.type(orelse)
            case ast.ListComp(elt=elt) | ast.SetComp(elt=elt) | ast.GeneratorExp(elt=elt):
                return self.type(elt)
            case ast.DictComp(key=key, value=value):
                return self.type(key) | self.type(value)
            case ast.Lambda(body=body):
                return self.type(body)
        return frozenset().union(*(self.type(each) for each in ast.iter_child_nodes(node)))

    def _result(self, function: ast.expr, given: list[ast.expr]) -> frozenset[str]:
        taken = frozenset().union(*(self.type(each) for each in given))
        match function:
            case ast.Name(id=name) if name in self.known.annotations:
                return frozenset({name})
            case ast.Name(id=name) if name in self.known.results:
                return frozenset().union(*map(self.known.classes, self.known.results[name]))
            case ast.Attribute(value=value, attr=name):
                owners = self.type(value)
                if any(self.known.has(owner, name) for owner in owners):
                    return self._members(owners, name)
                if not owners and name in self.known.results:  # a function of a module
                    return frozenset().union(*map(self.known.classes, self.known.results[name]))
                return owners | taken  # a method of a container
        return taken  # a builtin: next, sorted, dict…

    def _read(self, node: ast.AST) -> Iterator[Read]:
        match node:
            case ast.Attribute(value=value, attr=name, ctx=ast.Load()):
                yield from self._of(self.type(value), name)
            case ast.MatchClass(cls=cls, kwd_attrs=names):
                for name in names:
                    yield from self._of(self.known.classes(cls), name)
            case ast.Call(func=ast.Name(id="getattr" | "attrgetter") as function, args=args):
                key, owners = (args[1], self.type(args[0])) if function.id == "getattr" else (args[0], frozenset())
                names = [key.value] if isinstance(key, ast.Constant) else self.texts
                for name in names:
                    yield from self._of(owners, str(name))

    def _of(self, owners: frozenset[str], name: str) -> Iterator[Read]:
        definers = self.known.definers(name)
        for owner in (owners or self.watched) & definers.keys():
            yield from ((cls, name) for cls in definers[owner])


def names_in(tree: ast.AST) -> frozenset[str]:
    """Return every name and attribute that a piece of source text uses."""
    uses = (
        node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else "" for node in ast.walk(tree)
    )
    return frozenset(uses)


def imports_of(tree: ast.Module) -> frozenset[str]:
    """Return the modules that a module imports, and the names in them, which may be modules:
    `a.b` and `a.b.c` of `from a.b import c`.
    """
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{name.name}" for name in node.names)}
    return frozenset(found)


def modules(root: Path) -> dict[Path, ast.Module]:
    """Return the syntax trees of all modules below a directory, by path relative to it."""
    return {path.relative_to(root): ast.parse(path.read_bytes()) for path in sorted(root.rglob("*.py"))}
