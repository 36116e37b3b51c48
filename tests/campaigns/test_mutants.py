"""Mutants are what they should be; those of one small module, and that survivors are seen."""

import ast
import json
import subprocess
import sys

import mutants

SOURCE = '''
def share(parts: int = 2) -> int:
    """Of one whole."""
    rest = -parts
    if not parts or parts < 1:
        raise ValueError("none")
    return 100 // parts
'''


def mutated(source):
    count = len(list(mutants.places(ast.parse(source))))
    for number in range(count):
        tree = ast.parse(source)
        statement, change = list(mutants.places(tree))[number]
        change()
        yield mutants.header(statement)


def test_each_mutant_changes_one_thing():
    assert sorted(mutated(SOURCE)) == sorted([
        "def share(parts: int=3) -> int:",
        "rest = +parts", "'removed: rest = -parts'",
        "if not not parts or parts < 1:", "if not parts and parts < 1:",
        "if not parts or parts <= 1:", "if not parts or parts >= 1:", "if not parts or parts < 2:",
        "if not (not parts or parts < 1):",
        "raise ValueError('noneX')", "\"removed: raise ValueError('none')\"",
        "return None", "return 100 * parts", "return 101 // parts",
    ])  # fmt: skip


def test_every_equivalent_is_a_mutant_and_has_a_reason():
    there = {str(one) for file in mutants.parse([]).files for one in mutants.mutants(file)}

    assert set(mutants.equivalents()) <= there
    assert all(mutants.equivalents().values())


def run(*words):
    """The report and exit code of a campaign; in a process that has not imported the rules."""
    command = [sys.executable, mutants.__file__, "--file", "backoff.py", "--seed", "1", *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return json.loads(done.stdout.splitlines()[-1]), done.returncode


def test_mutants_of_a_rule_are_killed():
    report, code = run("--sample", "2")

    assert code == 0, report
    assert report["killed"] == 2


def test_the_campaign_sees_mutants_that_survive():
    report, code = run("--sample", "1", "--break", "deaf")

    assert code == 1
    assert len(report["survivors"]) == 1
