"""Any JSON in the configuration is either accepted or refused with a message; it never ends in a traceback."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from components.settings import Settings, SettingsError, load_settings
from tests.samples import STACK, existing_configuration, minimal_configuration
from tests.unit.settings.test_refusals import JARGON

pytestmark = pytest.mark.unit

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=30)
    | st.sampled_from(
        ["rds", "existing", "no", "1e3", "path", "\0", "\ud800", "a" * 300, "generated", "file", "02:00-03:00"]
    )
)
JSON = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=12,
)
KEYS = [
    "kubernetes",
    "aws",
    "accessGraph",
    "database",
    "tls",
    "teleport",
    "tags",
    "databaseUri",
    "teleportSecretValues",
]
QUICK = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def outcome(config: dict[str, Any], secret_keys: frozenset[str] = frozenset()) -> Settings | SettingsError:
    try:
        return load_settings(config, secret_keys, root=Path(__file__).parent, stack=STACK)
    except SettingsError as refused:
        error = refused
    assert error.problems
    assert len(str(error).splitlines()) == len(error.problems) + 1
    assert not JARGON.search("\n".join(f"{problem.rule} {problem.remedy}" for problem in error.problems))
    return error


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The paths of everything in a configuration, from the outside in."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, item in inner for place in places(item, (*path, key)))]


@pytest.mark.slow
@QUICK
@given(
    st.dictionaries(st.sampled_from(KEYS) | st.text(max_size=12), JSON, max_size=6),
    st.frozensets(st.sampled_from(KEYS)),
)
@example({"teleport": {"[key]": None}}, frozenset())
def test_any_json_is_accepted_or_refused_in_words(config: dict[str, Any], secret_keys: frozenset[str]) -> None:
    outcome(config, secret_keys)


@pytest.mark.slow
@QUICK
@given(st.data())
def test_any_value_in_any_place_is_accepted_or_refused_in_words(data: st.DataObject) -> None:
    config = data.draw(st.sampled_from([minimal_configuration, existing_configuration]))()
    for _ in range(data.draw(st.integers(1, 3))):
        *parents, last = data.draw(st.sampled_from([place for place in places(config) if place]))
        container = config
        for part in parents:
            container = container[part]
        container[last] = data.draw(JSON)
    as_json = {key: json.dumps(value) for key, value in config.items()}
    assert type(outcome(copy.deepcopy(config))) is type(outcome(as_json)), "an object and its JSON mean the same"


@pytest.mark.slow
@QUICK
@given(st.sampled_from(KEYS), st.text(max_size=40))
def test_any_text_in_place_of_an_object_is_accepted_or_refused_in_words(key: str, text: str) -> None:
    outcome(minimal_configuration(**{key: text}))


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 50_000, "1" * 10_000, "NaN", '"\\ud800"'])
def test_json_that_python_itself_stumbles_over_is_refused(text: str) -> None:
    assert isinstance(outcome(minimal_configuration(database=text)), SettingsError)


def test_an_object_that_is_too_deep_is_refused() -> None:
    deep: Any = "x"
    for _ in range(5000):
        deep = {"a": deep}
    error = outcome({**minimal_configuration(), "tags": deep})
    assert isinstance(error, SettingsError)
    assert [problem.key for problem in error.problems] == ["tags"]
    assert "nested deeper than 16 levels" in str(error)
