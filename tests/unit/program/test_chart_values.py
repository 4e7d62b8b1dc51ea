"""Every setting has an effect: the values of the access graph's release are values that its chart is known to have."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from components.settings import SettingsError
from components.settings.chart_versions import KNOWN_CHARTS, KnownChart, dotted, knows
from tests.unit.monitor import unsealed
from tests.unit.program.stack import configuration, host_authority, run_program

pytestmark = [pytest.mark.unit, pytest.mark.slow]

EXISTING: dict[str, Any] = {"aws": ..., "database": {"mode": "existing", "secret": {"name": "database"}}}
# The name under which a load balancer is reached.
NAMED = {"tls": {"mode": "generated", "extraDnsNames": ["graph.example.com"]}}
HOST_AUTHORITY = {"hostAuthorities": {"mode": "inline", "certificates": [host_authority()]}}
# Every setting of `accessGraph` that only the release uses, with a value other than its default.
SETTINGS: dict[str, Any] = {
    "replicas": 3,
    "serviceType": "LoadBalancer",
    "logLevel": "DEBUG",
    "metrics": True,
    "resources": {"cpuRequest": "1"},
    "podDisruptionBudget": {"minAvailable": 1, "enabled": False},
    "nodeSelector": {"disk": "ssd"},
    "tolerations": [{"key": "graph", "operator": "Exists"}],
    "imagePullSecrets": ["registry"],
    "image": "registry.example.com/access-graph",
    "imageDigest": f"sha256:{'0' * 64}",
}


def values_of(directory: Path, version: str, graph: dict[str, Any], **overrides: Any) -> dict[str, Any]:
    """The release's values by their dotted paths."""
    config = configuration(directory, entry=HOST_AUTHORITY, **NAMED, **copy.deepcopy(overrides))
    config["accessGraph"] |= graph
    config["accessGraph"]["chart"]["version"] = version
    return dict(named(unsealed(run_program(config, directory)["access-graph-release"].inputs["values"])))


def named(values: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(values, dict):
        for key, value in values.items():
            yield from named(value, f"{name}.{key}" if name else key)
    else:
        yield name, values


@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize("chart", KNOWN_CHARTS, ids=lambda chart: dotted(chart.version))
def test_a_setting_has_its_effect_or_is_refused(chart: KnownChart, setting: str, tmp_path: Path) -> None:
    version = dotted(chart.version)
    before = values_of(tmp_path, version, {}, **EXISTING)
    try:
        after = values_of(tmp_path, version, {setting: SETTINGS[setting]}, **EXISTING)
    except SettingsError as refused:
        assert chart is not KNOWN_CHARTS[-1]
        (problem,) = refused.problems
        assert problem.key == f"accessGraph.{setting}"
        assert "needs the chart's value" in problem.rule
        return
    changed = {name for name, value in after.items() if name not in before or before[name] != value}
    assert changed
    assert {name for name in changed if not knows(chart, name)} == set()


@pytest.mark.parametrize(
    ("database", "refused"),
    [
        ({"mode": "existing", "secret": {"name": "database", "key": "dsn"}}, ["secret.key"]),
        ({"mode": "existing", "secret": {"name": "database"}, "caBundleFile": "ca.pem"}, ["caBundleFile"]),
        (
            {"masterPassword": "generated", "authentication": "iam", "replica": {}},
            ["authentication", "mode", "replica"],
        ),
    ],
    ids=["secret", "bundle", "rds"],
)
def test_each_want_of_the_database_is_told_that_the_first_chart_does_not_have(
    database: dict[str, Any], refused: list[str], tmp_path: Path
) -> None:
    made = configuration(tmp_path)["database"]
    (tmp_path / "ca.pem").write_text(host_authority())
    given = {"aws": ..., "database": database} if "mode" in database else {"database": {**made, **database}}
    with pytest.raises(SettingsError) as told:
        values_of(tmp_path, dotted(KNOWN_CHARTS[0].version), {}, **given)
    assert [problem.key for problem in told.value.problems] == [f"database.{name}" for name in refused]


def test_by_choice_a_chart_is_given_what_it_is_not_known_to_have(tmp_path: Path) -> None:
    graph = {"metrics": True, "allowUntested": True}
    assert values_of(tmp_path, dotted(KNOWN_CHARTS[0].version), graph, **EXISTING)["metrics.enabled"] is True


def test_the_newest_chart_has_everything_that_the_program_writes(tmp_path: Path) -> None:
    chart = KNOWN_CHARTS[-1]
    database = configuration(tmp_path)["database"]
    database |= {"masterPassword": "generated", "authentication": "iam", "replica": {}}
    written = values_of(
        tmp_path,
        dotted(chart.version),
        SETTINGS,
        database=database,
        labels={"team": "infra"},
        annotations={"example.com/owner": "infra"},
    )
    assert {"volumeMounts", "volumes", "podLabels.team", "postgres.aws.enabled"} <= written.keys()
    assert {name for name in written if not knows(chart, name)} == set()
