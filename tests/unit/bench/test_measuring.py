"""A row is the ratio of two medians, measured alternately; the plot marks the target."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bench.alone import SDKS, run_program
from bench.measuring import BenchError, Command, Figure, by_turns, peak_memory
from bench.plot import plot
from bench.results import write_results

pytestmark = pytest.mark.unit


def test_a_ratio_is_of_medians_so_that_one_slow_moment_is_nothing() -> None:
    figure = Figure("preview", 2.0, [1.0, 2.0, 90.0], [4.0, 1.0, 0.5])
    assert figure.row() == {"name": "preview", "ratio": 2.0, "reach": 2.0, "runs": 3}
    assert figure.reached
    assert not Figure("preview", 1.99, figure.ours, figure.baseline).reached


def test_a_count_has_no_baseline() -> None:
    assert Figure("writes", 0, [0], []).reached
    assert Figure("writes", 0, [3], []).row() == {"name": "writes", "ratio": 3, "reach": 0, "runs": 1}


@pytest.mark.slow
def test_memory_is_of_all_that_was_started_meanwhile_and_of_nothing_else() -> None:
    def holding(megabytes: int) -> list[str]:
        # The memory is written to, because a page that was never touched takes no memory.
        text = f"import sys; held = b'x' * ({megabytes} << 20); print(flush=True); sys.stdin.read()"
        return [sys.executable, "-S", "-c", text]

    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(holding(300), **pipes) as former, former.stdin, former.stdout:
        former.stdout.readline()
        with peak_memory() as peak:
            for _ in range(2):
                with subprocess.Popen(holding(60), **pipes) as later, later.stdin, later.stdout:
                    later.stdout.readline()
                    time.sleep(0.5)
    assert 60 < peak.megabytes < 110


def test_the_sides_take_turns_and_change_who_begins() -> None:
    order: list[str] = []

    def side(name: str) -> float:
        order.append(name)
        return float(len(order))

    found = by_turns(3, {"a": lambda: side("a"), "b": lambda: side("b")})
    assert order == ["a", "b", "b", "a", "a", "b"]
    assert found == {"a": [1.0, 4.0, 5.0], "b": [2.0, 3.0, 6.0]}


def test_a_command_that_fails_is_no_measurement(tmp_path: Path) -> None:
    failing = Command([sys.executable, "-c", "raise SystemExit('no such stack')"], tmp_path)
    for measure in (failing.seconds, failing.usage):
        with pytest.raises(BenchError, match="no such stack"):
            measure()


@pytest.mark.slow
def test_usage_is_of_the_process_itself(tmp_path: Path) -> None:
    idle = Command([sys.executable, "-c", "import time; time.sleep(0.3)"], tmp_path).usage()
    busy = Command([sys.executable, "-c", "held = bytearray(80_000_000)"], tmp_path).usage()
    assert idle[0] < 0.25, "seconds of the processor, not of the clock"
    assert busy[1] - idle[1] > 60, "MB"


@pytest.mark.slow
def test_the_program_can_be_run_alone_with_many_clusters(tmp_path: Path) -> None:
    one, three = run_program(1, tmp_path), run_program(3, tmp_path)
    # Each further Teleport adds a ConfigMap, a release, the wait for auth, and the restart of the proxies.
    assert three - one == 2 * 4
    assert {name.partition(".")[0] for name in sys.modules} >= set(SDKS)


FIGURES = [
    Figure("reached & quick", 2.0, [1.0], [1.0]),
    Figure("missed", 1.0, [5.0], [1.0]),
    Figure("writes", 0, [0], []),
]


def test_the_plot_has_a_bar_for_each_row_no_longer_than_the_drawing() -> None:
    drawing = plot(FIGURES, "Ratios")
    assert "reached &amp; quick" in drawing
    assert "5.00 (reach 1)" in drawing
    bars = re.findall(r'<rect x="430" [^>]*width="([0-9.]+)"[^>]*fill="(#\w+)"', drawing)
    assert bars == [("105.0", "#2da44e"), ("420.0", "#bf8700"), ("1.0", "#2da44e")]


def test_the_results_have_the_rows_and_what_they_rest_on(tmp_path: Path) -> None:
    write_results(tmp_path, FIGURES, [{"name": "aws", "version": "7.51.1", "source": "stand-in"}])
    text = (tmp_path / "results.json").read_text()
    assert '"results": [' in text
    assert '"source": "stand-in"' in text
    assert (tmp_path / "results.svg").read_text().startswith("<svg ")


def test_a_row_that_was_not_measured_again_stays(tmp_path: Path) -> None:
    plugin = {"name": "aws", "version": "7.51.1", "source": "stand-in"}
    write_results(tmp_path, FIGURES, [plugin])
    again = Figure("missed", 1.0, [0.5], [1.0], remark="after the cure")
    write_results(tmp_path, [again, Figure("new", 1.0, [2.0], [1.0])], [])
    document = json.loads((tmp_path / "results.json").read_text())
    assert [(row["name"], row["ratio"]) for row in document["results"]] == [
        ("reached & quick", 1.0),
        ("missed", 0.5),
        ("writes", 0),
        ("new", 2.0),
    ]
    assert document["plugins"] == [plugin]
    assert document["detail"]["missed"]["remark"] == "after the cure"


@pytest.mark.parametrize(("unit", "ours", "baseline"), [("s", 0.01437, 0.01203), ("MB", 129.64, 95.04)])
def test_a_ratio_is_the_same_after_others_were_measured_again(
    tmp_path: Path, unit: str, ours: float, baseline: float
) -> None:
    write_results(tmp_path, [Figure("small", 1.2, [ours], [baseline], unit=unit)], [])
    before = json.loads((tmp_path / "results.json").read_text())["results"]
    write_results(tmp_path, [Figure("other", 1.0, [1.0], [1.0])], [])
    assert json.loads((tmp_path / "results.json").read_text())["results"][:1] == before
