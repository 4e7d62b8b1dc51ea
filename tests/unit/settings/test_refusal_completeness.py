"""The cases of `test_refusals` are complete: each sentence of a refusal occurs in a case, and each range ends where its
message says."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import components.settings
from components.settings import SettingsError, load_settings
from components.settings.rules import Rule
from tests.samples import STACK
from tests.unit.settings.test_refusals import REFUSALS, configuration_of, rules_of_all_settings

pytestmark = pytest.mark.unit

# Sentences that no case contains: they are in the settings reference, or in an error that is not a refusal.
NOT_SAID = {
    # docs/configuration.md states the rule; its refusals always have a better reason.
    "object_metadata.py": {"a key of your own"},
    # The same for lists.
    "rules.py": {"a list without repetitions"},
    # `test_project` covers these: refusals of a secret's content, which is known only in `apply`, and of a renamed
    # project.
    "project.py": {
        "goes deeper than ",
        "take out what is that deep: Helm takes no such values",
        "is no Teleport cluster with Helm values in `teleport`",
        "is not a map of Helm values",
        "is not an object of Teleport cluster name to values",
        "give the values as a map",
        "set it with `pulumi config set --secret --path '",
        "use one of ",
        "is another project than that of the settings, which are ",
        "set name: ",
        " in it again",
    },
    # Keys in other namespaces; `test_project` covers these too.
    "loader.py": {"is in a namespace that nobody reads, so that it would have no effect"},
    # Only a caller in Python can pass a key that is not text.
    "wording.py": {"is not a valid key", "use letters, digits and hyphens, in quotes where YAML asks for them"},
    "errors.py": {"The configuration has "},
}


def sentences(file: Path) -> Iterator[str]:
    """Every text of two or more words in the functions and rules of a module; refusals are assembled from them."""
    tree = ast.parse(file.read_text())
    beside: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            beside.add(id(node.value))  # a docstring
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("setting", "re.compile", "re.fullmatch"):
            # Skip the reference's own words, and patterns. A rule inside an annotation is a call of its own and is
            # kept.
            beside |= {id(inner) for inner in ast.walk(node) if not isinstance(inner, ast.Call)}
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "matching":
            beside |= {id(inner) for inner in ast.walk(node.args[0])}
    for node in tree.body:
        if isinstance(node, ast.Assign) and not isinstance(node.value, ast.Call):
            # Tables and patterns of the module: functions put what they use of these into sentences.
            beside |= {id(inner) for inner in ast.walk(node.value)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in beside:
            words = re.findall(r"[a-z]{2,}", node.value)
            if len(words) >= 2 and " " in node.value:
                yield node.value


@pytest.mark.slow
def test_every_sentence_that_a_refusal_can_say_is_said_in_a_case(root: Path) -> None:
    """A reason or a remedy that no case produces may be wrong or unreachable, so each branch of a rule needs a case of
    its own."""
    said = []
    for case in REFUSALS:
        with pytest.raises(SettingsError) as caught:
            load_settings(configuration_of(case), case.secret_keys, root=root, stack=STACK)
        said += [f"{problem.rule}\n{problem.remedy}" for problem in caught.value.problems]
    everything = "\n".join(said)
    unsaid: dict[str, set[str]] = {}
    count = 0
    for file in sorted(Path(components.settings.__file__).parent.rglob("*.py")):
        if file.name == "reference.py":  # generates docs/configuration.md
            continue
        for sentence in sentences(file):
            count += 1
            if sentence not in everything:
                unsaid.setdefault(file.name, set()).add(sentence)
    assert count > 300
    assert unsaid == NOT_SAID


@pytest.mark.parametrize(
    "rule",
    [
        pytest.param(rule, id=rule.statement)
        for rule in {id(rule): rule for rule in rules_of_all_settings()}.values()
        if rule.statement.startswith("a whole number from ")
    ],
)
def test_a_range_ends_where_it_says(rule: Rule) -> None:
    low, high = map(int, re.findall(r"-?\d+", rule.statement)[:2])
    assert [rule.accepts(value) for value in (low - 1, low, high, high + 1)] == [False, True, True, False]
