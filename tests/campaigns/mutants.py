"""
Mutants of the pure rules: each small change of litejobs/rules/X.py must fail tests/rules/test_X.py.

    python tests/campaigns/mutants.py --seed 1

Comparisons, arithmetic, constants, conditions, results and statements are changed one at a time. A
mutant lives in memory: a forked child puts it in the place of the module and runs the tests. It is
killed where they fail or do not end. Those that cannot be told from the original, each with its
reason, stand in equivalents.toml. Exit code 1 if another survives, or one of those does not.

``--break deaf`` shows that the campaign can fail: there the tests run with the original.
"""

import argparse
import ast
import importlib.util
import json
import os
import random
import resource
import sys
import time
import tomllib
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import pytest
from hypothesis import Phase, settings

ROOT = Path(__file__).parents[2]
RULES = ROOT / "litejobs" / "rules"
PACKAGE = "litejobs.rules"
DEADLINE = 20  # seconds of a processor that the tests of one mutant may take
MEMORY = 4 << 30  # bytes that they may take
BROKEN = ("deaf",)

COMPARISONS = {
    ast.Lt: (ast.LtE, ast.GtE), ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.LtE), ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,), ast.NotEq: (ast.Eq,), ast.Is: (ast.IsNot,), ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,), ast.NotIn: (ast.In,),
}  # fmt: skip
ARITHMETIC = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult, ast.Pow: ast.Mult, ast.And: ast.Or, ast.Or: ast.And,
}  # fmt: skip
NAMES = {"min": "max", "max": "min", "any": "all", "all": "any"}
REMOVED = (ast.Assign, ast.AugAssign, ast.Expr, ast.Raise)


@dataclass(frozen=True)
class Mutant:
    """A module with one small change."""

    file: str  # under litejobs/rules/
    before: str  # the first line of the statement, as ast writes it
    after: str
    tree: ast.Module

    def __str__(self):
        return f"{self.file}: {self.before} -> {self.after}"


def mutants(file):
    """Every mutant of a module of the rules."""
    source = (RULES / file).read_text("utf-8")
    for number, _ in enumerate(places(ast.parse(source))):
        tree = ast.parse(source)
        statement, change = next(islice(places(tree), number, None))
        before = header(statement)
        change()
        yield Mutant(file, before, header(statement), ast.fix_missing_locations(tree))


def header(statement):
    return ast.unparse(statement).partition("\n")[0]


def places(tree):
    """Each statement with a function that changes something in it."""
    for statement in ast.walk(tree):
        if isinstance(statement, ast.stmt) and not is_docstring(statement):
            for node in own_nodes(statement):
                for change in changes(node):
                    yield statement, change
            if isinstance(statement, REMOVED):
                yield statement, removal(statement)


def is_docstring(statement):
    return isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)


def own_nodes(statement):
    """What belongs to the statement, without the statements in it and what only types read."""
    waiting = [statement]
    while waiting:
        node = waiting.pop()
        yield node
        for name, value in ast.iter_fields(node):
            if name in {"annotation", "returns", "names"}:
                continue
            children = value if isinstance(value, list) else [value]
            waiting += [
                c for c in children if isinstance(c, ast.AST) and not isinstance(c, ast.stmt)
            ]


def is_part(child):
    return isinstance(child, ast.AST) and not isinstance(child, ast.stmt)


def changes(node):
    """Functions each of which changes the node in one way."""
    yield from other_operators(node)
    yield from other_values(node)
    yield from other_ways(node)


def other_operators(node):
    match node:
        case ast.Compare(ops=[operator]):
            for other in COMPARISONS[type(operator)]:
                yield setting(node, "ops", [other()])
        case ast.BinOp(op=operator) | ast.AugAssign(op=operator) | ast.BoolOp(op=operator):
            if type(operator) in ARITHMETIC:
                yield setting(node, "op", ARITHMETIC[type(operator)]())
        case ast.UnaryOp(op=ast.USub()):
            yield setting(node, "op", ast.UAdd())
        case ast.UnaryOp(op=ast.Not()):
            yield setting(node, "operand", ast.UnaryOp(ast.Not(), node.operand))


def other_values(node):
    match node:
        case ast.Constant(value=bool(value)):
            yield setting(node, "value", not value)
        case ast.Constant(value=int(value) | float(value)):
            yield setting(node, "value", value + 1)
        case ast.Constant(value=str(value)):
            yield setting(node, "value", value + "X")
        case ast.Constant(value=bytes(value)):
            yield setting(node, "value", value + b"X")
        case ast.Name(id=name) if name in NAMES:
            yield setting(node, "id", NAMES[name])


def other_ways(node):
    match node:
        case ast.If(test=test) | ast.IfExp(test=test) | ast.While(test=test):
            if not isinstance(test, ast.UnaryOp | ast.Compare):  # which are changed anyhow
                yield setting(node, "test", ast.UnaryOp(ast.Not(), test))
        case ast.Return(value=ast.expr()):
            yield setting(node, "value", ast.Constant(None))


def setting(node, field, value):
    return lambda: setattr(node, field, value)


def removal(statement):
    """Turn the statement into an expression that does nothing, and says what it was."""

    def change():
        text = f"removed: {ast.unparse(statement)}"
        statement.__class__ = ast.Expr
        statement.value = ast.Constant(text)

    return change


class Trial:
    """Runs the tests with a mutant, in a forked child."""

    def __init__(self, seed, *, deaf=False):
        self._deaf = deaf
        self._words = [f"--rootdir={ROOT}", "-n", "0", "-x", "-q", "-p", "no:cacheprovider"]
        # Hypothesis and the mutant are imported before pytest could rewrite their asserts.
        self._words += ["-W", "ignore::pytest.PytestAssertRewriteWarning"]
        self._words += [f"--hypothesis-seed={seed}", "--hypothesis-profile=mutants"]
        # Whether they fail is the question, not by how little; and no example is to be kept.
        phases = (Phase.explicit, Phase.generate)
        settings.register_profile("mutants", database=None, phases=phases, deadline=None)

    def survives(self, mutant):
        """Whether the tests of its module pass with it."""
        return self.passes({mutant.file}, None if self._deaf else mutant)

    def passes(self, files, mutant=None):
        """Whether the tests of these modules pass."""
        child = os.fork()
        if not child:
            os._exit(self._run(files, mutant))
        _, status = os.waitpid(child, 0)
        return status == 0

    def _run(self, files, mutant):
        """In the child: its exit code."""
        try:
            resource.setrlimit(resource.RLIMIT_CPU, (DEADLINE, DEADLINE))
            resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
            nowhere = os.open(os.devnull, os.O_RDWR)
            for descriptor in range(3):
                os.dup2(nowhere, descriptor)
            if mutant is not None:
                install(mutant)
            tests = [str(ROOT / "tests" / "rules" / f"test_{file}") for file in sorted(files)]
            return int(pytest.main([*self._words, *tests]))
        except BaseException:
            return 1


def install(mutant):
    """Put it in the place of the module, which must not have been imported."""
    name = f"{PACKAGE}.{mutant.file.removesuffix('.py')}"
    spec = importlib.util.find_spec(name)
    module = importlib.util.module_from_spec(spec)
    assert not [one for one in sys.modules if one.startswith(f"{PACKAGE}.")]
    sys.modules[name] = module
    exec(compile(mutant.tree, spec.origin, "exec"), vars(module))
    setattr(sys.modules[PACKAGE], mutant.file.removesuffix(".py"), module)


def equivalents():
    """The mutants of a file that no test can tell from the original, each with the reason."""
    with Path(__file__).with_name("equivalents.toml").open("rb") as file:
        listed = tomllib.load(file)["equivalent"]
    return {one["mutant"]: one["reason"] for one in listed}


def campaign(chosen, trial):
    """What became of the *chosen* mutants."""
    if not trial.passes({mutant.file for mutant in chosen}):
        raise SystemExit("the tests of the rules are not green without a mutant")
    known = {str(mutant) for mutant in chosen} & equivalents().keys()
    survived = set()
    for mutant in chosen:
        if trial.survives(mutant):
            survived.add(str(mutant))
            print("equivalent" if str(mutant) in known else "SURVIVED  ", mutant, flush=True)
    return {
        "mutants": len(chosen),
        "killed": len(chosen) - len(survived),
        "equivalent": len(survived & known),
        "survivors": sorted(survived - known),
        "not equivalent": sorted(known - survived),
    }


def is_kept(report):
    """Whether every mutant was killed but those that are known to change nothing."""
    return not (report["survivors"] or report["not equivalent"])


def parse(words=None):
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    names = sorted(path.name for path in RULES.glob("[a-z]*.py"))
    parser.add_argument("--file", choices=names, action="append", help="those alone")
    parser.add_argument("--seed", type=int, default=random.randrange(10**6), help="of hypothesis")
    parser.add_argument("--break", dest="breaks", choices=BROKEN)
    parser.add_argument("--sample", type=int, metavar="N", help="so many, drawn by the seed")
    options = parser.parse_args(words)
    options.files = options.file or names
    return options


def main(words=None):
    """Try every mutant and print the report; whether all but the known ones were killed."""
    options = parse(words)
    chosen = [mutant for file in options.files for mutant in mutants(file)]
    if options.sample is not None:
        chosen = random.Random(options.seed).sample(chosen, options.sample)
    began = time.monotonic()
    report = campaign(chosen, Trial(options.seed, deaf=options.breaks == "deaf"))
    report |= {"seconds": round(time.monotonic() - began), "seed": options.seed}
    print(json.dumps(report))
    return report


if __name__ == "__main__":
    sys.exit(0 if is_kept(main()) else 1)
