"""Helm reads the same in a values file as `parse_values` does, also if `values_document` wrote the file."""

from __future__ import annotations

import json
import math
import subprocess
from collections.abc import Callable
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from components.values_files import parse_values, values_document
from operations.adopt import _Dumper
from tests.unit.teleport_values.test_values_files import TABS_AND_ENDS

pytestmark = pytest.mark.charts

Read = Callable[[str], dict[str, Any]]
# Few documents, because a run of Helm takes a third of a second; each document has hundreds of values.
FEW = settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))

ABOUT_NUMBERS = st.text("0123456789+-_.eExXbBoOaf", min_size=1, max_size=7)
# Words that random generation seldom finds.
SELDOM = [
    ".5_0",
    "._5",
    ".5__0",
    ".5_",
    ".5_0e1_0",
    "+.5_0",
    "-_1",
    "1e3_0",
    "0X1F",
    "0b_1",
    "0o7_",
    "08",
    "0_8",
    "1_",
    ".5e1",
    "5.",
    "0x",
    "1e",
]
# Without surrogates, which YAML cannot express, and without the null byte, which Helm refuses.
TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False) | TEXTS,
    # No nulls inside: Helm takes a null as the removal of a default, and this chart has no defaults.
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=20,
)


@pytest.fixture(scope="module")
def read(helm: str, tmp_path_factory: pytest.TempPathFactory) -> Read:
    """Returns a document's values as Helm reads them, from a chart that prints its values."""
    chart = tmp_path_factory.mktemp("chart")
    (chart / "Chart.yaml").write_text("apiVersion: v2\nname: values\nversion: 1.0.0\n")
    (chart / "templates").mkdir()
    (chart / "templates" / "values.yaml").write_text("values: {{ .Values | toJson | quote }}\n")

    def run(text: str) -> dict[str, Any]:
        (chart / "given.yaml").write_text(text)
        command = [helm, "template", "values", str(chart), "--values", str(chart / "given.yaml")]
        finished = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert finished.returncode == 0, finished.stderr
        values: dict[str, Any] = json.loads(yaml.safe_load(finished.stdout)["values"])
        return values

    return run


def numbered(values: list[Any]) -> dict[str, Any]:
    return {f"v{position}": value for position, value in enumerate(values)}


def same(ours: Any, helms: Any) -> bool:
    """Numbers are compared as numbers: in JSON Go writes 1.0 as 1."""
    if isinstance(ours, dict) and isinstance(helms, dict):
        return ours.keys() == helms.keys() and all(same(value, helms[key]) for key, value in ours.items())
    if isinstance(ours, list) and isinstance(helms, list):
        return len(ours) == len(helms) and all(map(same, ours, helms))
    if isinstance(ours, bool) or isinstance(helms, bool) or isinstance(ours, str) or isinstance(helms, str):
        return type(ours) is type(helms) and ours == helms
    if ours is None or helms is None:
        return ours is helms
    return math.isclose(ours, helms, rel_tol=1e-15)


@FEW
@given(st.lists(ABOUT_NUMBERS, min_size=200, max_size=300))
def test_what_is_a_number_to_helm_is_one_here(read: Read, words: list[str]) -> None:
    kept = []
    for word in [*SELDOM, *words]:
        try:
            parse_values(f"v: {word}")
        except ValueError:
            continue  # `parse_values` refuses it: not YAML, or too large for a number
        kept.append(word)
    document = "".join(f"{key}: {word}\n" for key, word in numbered(kept).items())
    ours, helms = parse_values(document), read(document)
    assert [(word, helms[key]) for key, word in numbered(kept).items() if not same(ours[key], helms[key])] == []


@FEW
@given(st.lists(ABOUT_NUMBERS | TEXTS, min_size=200, max_size=300))
def test_what_adopt_writes_as_text_stays_text(read: Read, words: list[str]) -> None:
    written = yaml.dump(numbered(words), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=110)
    assert read(written) == numbered(words)


@FEW
@given(st.lists(VALUES.filter(lambda value: value is not None), min_size=50, max_size=100))
def test_what_is_handed_over_is_read_as_it_was(read: Read, values: list[Any]) -> None:
    document = values_document(numbered(values))
    assert same(numbered(values), read(document))
    assert same(numbered(values), parse_values(document))


@pytest.mark.parametrize(("text", "values"), TABS_AND_ENDS)
def test_helm_takes_tabs_and_an_end_of_the_document_so(read: Read, text: str, values: Any) -> None:
    assert read(text) == values


def test_a_character_of_two_halves_is_handed_over_whole(read: Read) -> None:
    values = {"motd": "go \N{ROCKET}", "line": "a\u2028b\x7f\x85\ufeff", "\N{ROCKET}": 1}
    assert read(values_document(values)) == values
    assert values_document(values).endswith("}\n")
