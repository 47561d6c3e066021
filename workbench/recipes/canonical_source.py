"""One Python file as canonical text: what it computes, independent of how it is written. Two spellings of the same code give the same text.

It leaves out comments, positions, docstrings and all other bare constants, `pass`, `__all__`, imports for type checkers only, the order
and grouping of imports, and the methods that only answer a person once a model is trained, with the imports that they alone use. A name
that an import binds is replaced by what is imported; a function's local variables are replaced by numbers, so that they can be renamed.
The text is the same in every version of Python (`ast.dump` differs between versions).
"""

import ast
import hashlib
import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, cast

PACKAGE = "workbench"
LOOKS_AT_NAMES = {"locals", "eval", "exec"}
"""A file that calls one of these may read its variables' names, so these are not replaced by numbers."""
ANSWERS = frozenset({"predict", "first_answer", "form", "serving"})
"""Methods of a project that training and evaluation never call: how a model is asked and served changes no figure. In a file that uses one
of them elsewhere, it counts."""


class Ref(NamedTuple):
    """A use of a name of the workbench, as it is imported: module and names, `workbench.torchkit.metrics.auc`."""

    dotted: str
    typing: bool = False
    """Whether it is imported for type checkers only, so that its content does not count."""


@dataclass(frozen=True)
class Source:
    """One file. `pieces` in their order are its text, where each Ref is later replaced by the content that it refers to."""

    pieces: tuple[str | Ref, ...]
    imports: frozenset[str] = frozenset()
    """Dotted names of the workbench that it imports: `workbench.events.Scalars`."""
    bindings: dict[str, str] = field(default_factory=dict)
    """Imports at module level: name → dotted name. A file that imports such a name from here really imports it from there."""
    names: frozenset[str] = frozenset()
    """All names that it binds at module level."""
    stars: tuple[str, ...] = ()
    """Modules from which it imports `*`."""

    @property
    def is_door(self) -> bool:
        """Whether it only re-exports names."""
        return not self.pieces

    @property
    def alone(self) -> str:
        """The hash of this file without its imports: of a Ref only the last name counts, not its module."""
        return digest(f"({piece.dotted.rpartition('.')[2]})" if isinstance(piece, Ref) else piece for piece in self.pieces)


def is_ours(dotted: str) -> bool:
    """Whether this name belongs to the workbench."""
    return dotted.partition(".")[0] == PACKAGE


def digest(pieces: Iterable[str]) -> str:
    """The first 16 hexadecimal digits of the SHA-256 of these texts together."""
    return hashlib.sha256("".join(pieces).encode("ascii", "backslashreplace")).hexdigest()[:16]


def read(data: bytes, package: str = "", *, outline: bool = False) -> Source:
    """The Source of a file with these bytes in `package`; a file that cannot be parsed counts by its bytes.

    An `outline` has no pieces, only the names that are bound at module level.
    """
    try:
        writer = _Writer(data, package, outline, ANSWERS)
        if needed := writer.attributes & writer.skipped:
            writer = _Writer(data, package, outline, ANSWERS - needed)
        return writer.source()
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return Source(pieces=(f"bytes {hashlib.sha256(data).hexdigest()}",))


@dataclass
class _Scope:
    """What a module, class, function or comprehension binds: name → its import's Ref, or "local" or "plain" or "global" or "nonlocal"."""

    kind: str
    parent: "_Scope | None" = None
    names: dict[str, str | Ref] = field(default_factory=dict)
    number: int = 0
    numbers: dict[str, int] = field(default_factory=dict)

    def bind(self, name: str, what: str | Ref) -> None:
        before = self.names.get(name, what)
        if what in ("global", "nonlocal") or before == what:
            self.names[name] = what
        elif before not in ("global", "nonlocal"):
            self.names[name] = "plain"

    def find(self, name: str) -> "tuple[_Scope, str | Ref] | None":
        scope: _Scope | None = self
        while scope is not None:
            bound = scope.names.get(name)
            if bound == "global":
                while scope.parent is not None:
                    scope = scope.parent
                return scope, scope.names.get(name, "plain")
            # Functions in a class do not see the names of the class.
            if bound is not None and bound != "nonlocal" and (scope.kind != "class" or scope is self):
                return scope, bound
            scope = scope.parent
        return None


_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
_TARGETS = (ast.Name, ast.Tuple, ast.List, ast.Starred)
_COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.GeneratorExp, ast.DictComp)


def _for_type_checkers(node: ast.AST) -> bool:
    if not isinstance(node, ast.If):
        return False
    test = node.test
    return (test.id if isinstance(test, ast.Name) else test.attr if isinstance(test, ast.Attribute) else "") == "TYPE_CHECKING"


def _is_all(node: ast.AST) -> bool:
    targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AugAssign | ast.AnnAssign) else []
    return any(isinstance(target, ast.Name) and target.id == "__all__" for target in targets)


class _Writer:
    """Writes one tree."""

    def __init__(self, data: bytes, package: str, outline: bool, skip: frozenset[str]) -> None:
        tree = ast.parse(data)
        self.package = package
        self.walrus = b":=" in data
        self.out: list[str | Ref] = []
        self.skip = skip
        """Methods to leave out."""
        self.skipped: set[str] = set()
        """Those that were."""
        self.inside: set[str] = set()
        """Names that they use."""
        self.attributes: set[str] = set()
        """Names of attributes that are written."""
        self.used: set[str] = set()
        """Names of imports that are written."""
        self.imports: set[str] = set()
        self.packages: dict[str, str] = {}
        """Packages that are not ours, by the name that an import binds."""
        self.stars: list[str] = []
        self.scopes = 0
        self.numbered = not any(
            isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in LOOKS_AT_NAMES
            for node in (ast.walk(tree) if any(f"{name}(".encode() in data for name in LOOKS_AT_NAMES) else ())
        )
        self.module = self.scope("module", None)
        self.collect(tree.body, self.module)
        if not outline:
            self.statements(tree.body, self.module)
            needless = {name for name in self.inside - self.used if isinstance(self.module.names.get(name), Ref)}
            self.imports -= {ref.dotted for name in needless if isinstance(ref := self.module.names[name], Ref)}
            self.packages = {name: package for name, package in self.packages.items() if name not in needless}

    def source(self) -> Source:
        # A module that imports lazily, in __getattr__, states its names only in imports for type checkers.
        lazy = "__getattr__" in self.module.names
        refs = {name: what for name, what in self.module.names.items() if isinstance(what, Ref)}
        bindings = {name: what.dotted for name, what in refs.items() if lazy or not what.typing}
        # Only importing a package may have an effect (torch sets its threads), wherever in the file the import is.
        packages = f"imports {' '.join(sorted(set(self.packages.values())))};" if self.packages and self.out else ""
        merged: list[str | Ref] = [packages] if packages else []
        for is_text, group in itertools.groupby(self.out, lambda piece: isinstance(piece, str)):
            pieces = list(group)
            merged += ["".join(cast(list[str], pieces))] if is_text else pieces
        return Source(tuple(merged), frozenset(self.imports), bindings, frozenset(self.module.names), tuple(self.stars))

    # -- which scope binds which name -----------------------------------------------------------------------------------------------------

    def scope(self, kind: str, parent: _Scope | None) -> _Scope:
        self.scopes += 1
        return _Scope(kind, parent, number=self.scopes)

    def imported(self, node: ast.Import | ast.ImportFrom) -> Iterable[tuple[str, str, str]]:
        """For each alias: the name that it binds, the dotted name it stands for, and the module and name that are imported."""
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.asname or alias.name.partition(".")[0], alias.name if alias.asname else alias.name.partition(".")[0], alias.name
            return
        base = node.module or ""
        if node.level:
            above = self.package.split(".")[: len(self.package.split(".")) - node.level + 1]
            base = ".".join([*above, base] if base else above) if self.package else "." * node.level + base
        for alias in node.names:
            yield alias.asname or alias.name, f"{base}.{alias.name}", f"{base}.{alias.name}"

    def collect(self, nodes: Sequence[ast.AST], scope: _Scope, *, inside: bool = False, typing: bool = False) -> None:
        """Bind the names of these nodes in `scope`; `inside` a comprehension only `:=` binds."""
        for node in nodes:
            if isinstance(node, ast.expr) and not self.walrus and not isinstance(node, _TARGETS):
                continue  # saves time: most of a file is expressions, and without `:=` they bind nothing
            if isinstance(node, ast.Import | ast.ImportFrom):
                for name, dotted, _ in self.imported(node):
                    if name == "*":
                        self.stars.append(dotted.removesuffix(".*"))
                        continue
                    scope.bind(name, "plain" if scope.kind == "class" else Ref(dotted, typing))
            elif isinstance(node, _FUNCTIONS):
                scope.bind(node.name, "plain")
                outside = [*node.decorator_list, *node.args.defaults, *(default for default in node.args.kw_defaults if default)]
                self.collect(outside, scope, inside=inside)
            elif isinstance(node, ast.ClassDef):
                scope.bind(node.name, "plain")
                self.collect([*node.decorator_list, *node.bases, *node.keywords], scope, inside=inside)
            elif isinstance(node, ast.Lambda):
                continue
            elif isinstance(node, ast.Global | ast.Nonlocal):
                for name in node.names:
                    scope.bind(name, "global" if isinstance(node, ast.Global) else "nonlocal")
            elif isinstance(node, ast.NamedExpr):
                scope.bind(node.target.id, "local")
                self.collect([node.value], scope, inside=inside)
            elif isinstance(node, ast.Name):
                if not inside and not isinstance(node.ctx, ast.Load):
                    scope.bind(node.id, "local")
            else:
                if isinstance(node, ast.ExceptHandler | ast.MatchAs | ast.MatchStar) and node.name:
                    scope.bind(node.name, "local")
                if isinstance(node, ast.MatchMapping) and node.rest:
                    scope.bind(node.rest, "local")
                within = inside or isinstance(node, _COMPREHENSIONS)
                if _for_type_checkers(node):
                    assert isinstance(node, ast.If)
                    self.collect(node.body, scope, typing=True)
                    self.collect(node.orelse, scope, inside=within, typing=typing)
                else:
                    self.collect(list(ast.iter_child_nodes(node)), scope, inside=within, typing=typing)

    # -- writing -----------------------------------------------------------------------------------------------------------------

    def statements(self, body: Sequence[ast.stmt], scope: _Scope) -> None:
        for node in body:
            if isinstance(node, ast.Pass | ast.Global | ast.Nonlocal) or _is_all(node):
                continue
            if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
                continue
            if scope.kind == "class" and isinstance(node, _FUNCTIONS) and node.name in self.skip:
                self.skipped.add(node.name)
                self.inside |= {inner.id for inner in ast.walk(node) if isinstance(inner, ast.Name)}
                continue
            if isinstance(node, ast.Import | ast.ImportFrom):
                self.import_(node, scope)
            elif _for_type_checkers(node):
                assert isinstance(node, ast.If)
                self.statements(node.orelse, scope)
            else:
                self.node(node, scope)

    def import_(self, node: ast.Import | ast.ImportFrom, scope: _Scope) -> None:
        for name, dotted, full in self.imported(node):
            full = full.removesuffix(".*")
            if is_ours(full):
                self.imports.add(full)
            else:
                self.packages[f"* of {full}" if name == "*" else name] = full.partition(".")[0]
            if name != "*" and not isinstance(scope.names.get(name), Ref):  # also bound in another way, so the name cannot be replaced
                self.out.append(f"(bind {self.called(name, scope)} ")
                self.out += [self.ref(Ref(dotted)), ")"]

    def ref(self, ref: Ref) -> str | Ref:
        return ref if is_ours(ref.dotted) else f"(of {ref.dotted})"

    def called(self, name: str, scope: _Scope) -> str:
        """The name, or for a local variable of a function its number."""
        binding = scope.find(name)
        if binding and binding[1] == "local" and binding[0].kind in ("function", "comprehension") and self.numbered:
            owner = binding[0]
            return f"{owner.number}.{owner.numbers.setdefault(name, len(owner.numbers))}"
        return ascii(name)

    def node(self, node: Any, scope: _Scope) -> None:
        if isinstance(node, ast.Name | ast.Attribute) and self.named(node, scope):
            return
        if isinstance(node, ast.Constant):
            self.out.append(f"({type(node.value).__name__} {node.value!a})")
            return
        self.out.append(f"({type(node).__name__}")
        if isinstance(node, _COMPREHENSIONS):
            self.comprehension(node, scope)
        elif isinstance(node, ast.Lambda):
            inner = self.scope("function", scope)
            self.arguments(node.args, scope, inner)
            self.collect([node.body], inner)
            self.node(node.body, inner)
        elif isinstance(node, ast.JoinedStr):
            self.joined(node, scope)
        else:
            inner = scope
            if isinstance(node, _FUNCTIONS):
                inner = self.scope("function", scope)
                self.arguments(node.args, scope, inner)
            elif isinstance(node, ast.ClassDef):
                inner = self.scope("class", scope)
            if inner is not scope:
                self.collect(node.body, inner)
            self.fields(node, scope, inner)
        self.out.append(")")

    def fields(self, node: ast.AST, scope: _Scope, inner: _Scope) -> None:
        binds = isinstance(node, ast.ExceptHandler | ast.MatchAs | ast.MatchStar | ast.MatchMapping)
        for name in node._fields:
            value = getattr(node, name, None)
            if value is None or value == [] or name in ("ctx", "kind", "type_comment") or isinstance(value, ast.arguments):
                continue
            if name in ("body", "orelse", "finalbody") and isinstance(value, list):
                start = len(self.out)
                self.statements(value, inner)
                if len(self.out) > start:
                    self.out.insert(start, f" {name}:")
                continue
            self.out.append(f" {name}:")
            for item in value if isinstance(value, list) else [value]:
                if isinstance(item, ast.AST):
                    self.node(item, scope)
                elif binds and isinstance(item, str):
                    self.out.append(self.called(item, scope))
                else:
                    self.out.append(f" {item!a}")

    def named(self, node: ast.Name | ast.Attribute, scope: _Scope) -> bool:
        """Write a name, or a chain of attributes that starts at an import, as what it stands for."""
        names, base = [], node
        while isinstance(base, ast.Attribute):
            names.append(base.attr)
            self.attributes.add(base.attr)
            base = base.value  # type: ignore[assignment]
        if not isinstance(base, ast.Name):
            return False
        binding = scope.find(base.id)
        if binding and isinstance(binding[1], Ref):
            self.used.add(base.id)
            dotted = ".".join([binding[1].dotted, *reversed(names)])
            self.out.append(self.ref(Ref(dotted, binding[1].typing)))
            return True
        if names:
            return False
        self.out.append(f"(name {self.called(base.id, scope)})")
        return True

    def arguments(self, arguments: ast.arguments, scope: _Scope, inner: _Scope) -> None:
        """Parameters keep their names, because callers use them; defaults and annotations belong to the enclosing scope."""
        self.fields(arguments, scope, scope)
        for parameter in [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, arguments.vararg, arguments.kwarg]:
            if parameter:
                inner.bind(parameter.arg, "plain")

    def comprehension(self, node: Any, scope: _Scope) -> None:
        inner = self.scope("comprehension", scope)
        for generator in node.generators:
            self.collect([generator.target], inner)
        for place, generator in enumerate(node.generators):
            self.out.append(f" for{generator.is_async}:")
            self.node(generator.target, inner)
            self.node(generator.iter, inner if place else scope)
            for test in generator.ifs:
                self.out.append(" if:")
                self.node(test, inner)
        for part in [node.key, node.value] if isinstance(node, ast.DictComp) else [node.elt]:
            self.node(part, inner)

    def joined(self, node: ast.JoinedStr, scope: _Scope) -> None:
        """Write an f-string with its constant parts joined, because versions of Python split them differently."""
        text = ""
        for value in node.values:
            if isinstance(value, ast.Constant):
                text += str(value.value)
                continue
            self.out.append(f" {text!a}")
            text = ""
            self.node(value, scope)
        self.out.append(f" {text!a}")
