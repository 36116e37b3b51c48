"""The examples in the docstrings of the rules are true."""

import doctest
import importlib
import pkgutil

import pytest

from litejobs import rules


@pytest.mark.parametrize("name", [module.name for module in pkgutil.iter_modules(rules.__path__)])
def test_the_examples_of_a_rule_are_true(name):
    module = importlib.import_module(f"litejobs.rules.{name}")

    assert doctest.testmod(module).failed == 0
