"""The figures are measured in groups, and each group is written as soon as it ends."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bench import __main__ as bench
from bench.measuring import BenchError, Figure

pytestmark = pytest.mark.unit

ROW = Figure(name="program alone / importing its SDK modules", reach=1.4, ours=[1.2], baseline=[1.0])


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--only", "nonsense"], "invalid choice: 'nonsense'"),
        (["--runs", "0"], "0 is less than 1: there would be no median"),
        (["--cold-runs", "0"], "0 is less than 1: there would be no median"),
    ],
)
def test_what_would_measure_nothing_is_refused_and_nothing_is_written(
    arguments: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        bench.main([*arguments, "--output", str(tmp_path)])
    assert said in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_what_was_measured_before_a_failure_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(runs: int) -> list[Figure]:
        raise BenchError("no")

    monkeypatch.setattr(bench.figures, "program_alone", lambda runs: [ROW])
    monkeypatch.setattr(bench.figures, "clusters_on_one_access_graph", fails)
    assert bench.main(["--output", str(tmp_path)]) == 1
    assert json.loads((tmp_path / "results.json").read_text())["results"] == [ROW.row()]


def test_a_group_alone_is_the_one_of_that_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench.figures, "program_alone", lambda runs: [ROW])
    assert bench.main(["--only", "alone", "--output", str(tmp_path)]) == 0
    assert [row["name"] for row in json.loads((tmp_path / "results.json").read_text())["results"]] == [ROW.name]
