"""A change is previewed in every environment that it touches; in doubt, one too many."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path

import pytest

import operations.preview.environments
from operations.preview.environments import BESIDE_A_STACK, ROOT, environments, main, shared_gates, touched
from tests.unit.shipped_environments import as_shipped

pytestmark = pytest.mark.unit

CONFIGURATIONS = {
    "dev": "valuesFiles: [environments/dev/teleport.yaml, shared/base.yaml]",
    "prod": "valuesFiles:\n  - shared/base.yaml\n  - teleport/prod.pem",
    "staging": "",
}


@pytest.mark.parametrize(
    ("paths", "names"),
    [
        (["Pulumi.dev.yaml"], ["dev"]),
        (["Pulumi.prod.deploy.yaml"], ["prod"]),
        (["environments/prod/teleport.yaml"], ["prod"]),
        (["environments/dev/teleport.yaml", "Pulumi.prod.yaml"], ["dev", "prod"]),
        (["components/database.py"], ["dev", "prod", "staging"]),
        (["__main__.py"], ["dev", "prod", "staging"]),
        (["Pulumi.yaml"], ["dev", "prod", "staging"]),
        (["requirements.in"], ["dev", "prod", "staging"]),
        (["requirements.txt"], ["dev", "prod", "staging"]),
        (["policy/rules.py"], ["dev", "prod", "staging"]),
        ([".github/workflows/preview.yaml"], ["dev", "prod", "staging"]),
        (["nobody/thought/of.this"], ["dev", "prod", "staging"]),
        (["shared/base.yaml"], ["dev", "prod"]),
        (["teleport/prod.pem"], ["prod"]),
        (["docs/operations.md", "README.md", "tests/unit/x.py", "sandbox/cli.py", "operations/verify.py"], []),
        ([".github/workflows/drift.yaml", "requirements-dev.in", "requirements-dev.txt", "Makefile"], []),
        (["Pulumi.gone.yaml", "environments/gone/x.yaml"], []),
        (["Pulumi.sandbox.yaml"], []),
        ([], []),
    ],
)
def test_a_change_touches(paths: list[str], names: list[str]) -> None:
    assert touched(paths, CONFIGURATIONS) == names


def test_a_file_of_one_environment_that_another_names_touches_both() -> None:
    shared = {
        "dev": "valuesFiles: [environments/dev/teleport.yaml]",
        "east": "valuesFiles: [environments/dev/teleport.yaml]",
    }
    assert touched(["environments/dev/teleport.yaml"], shared) == ["dev", "east"]


def test_what_a_comment_names_is_not_used() -> None:
    """Otherwise the program's own files would reach only the environments whose comments name them."""
    told = {"dev": "# As in Pulumi.yaml; docs/network.md\na: b # pinned by requirements.txt\n", "prod": "a: b#c.pem\n"}
    assert touched(["Pulumi.yaml"], told) == touched(["requirements.txt"], told) == ["dev", "prod"]
    assert touched(["docs/network.md"], told) == []
    assert touched(["b#c.pem"], told) == ["prod"]


@pytest.mark.parametrize("page", sorted(path.name for path in (ROOT / "docs").glob("*.md")))
def test_no_page_touches_an_environment(page: str) -> None:
    assert touched([f"docs/{page}"], environments(ROOT)) == []


@as_shipped
def test_the_samples_are_environments() -> None:
    assert {"dev", "prod"} <= set(environments(ROOT))


def test_a_configuration_in_another_encoding_is_an_environment_too(tmp_path: Path) -> None:
    """Its own preview reports what is wrong with the file; the other environments still get their previews."""
    (tmp_path / "Pulumi.west.yaml").write_bytes(
        "# für environments/west/teleport.yaml\nx: values.yaml".encode("latin-1")
    )
    (tmp_path / "Pulumi.east.yaml").write_text("config: {}\n", encoding="utf-8")
    known = environments(tmp_path)
    assert list(known) == ["east", "west"]
    assert touched(["values.yaml"], known) == ["west"]


def test_the_environments_are_the_configurations_beside_the_program(tmp_path: Path) -> None:
    assert "sandbox" not in environments(ROOT)
    (tmp_path / "Pulumi.yaml").write_text("name: x")
    (tmp_path / "Pulumi.one.yaml").write_text("a: 1")
    (tmp_path / "Pulumi.one.deploy.yaml").write_text("b: 2")
    (tmp_path / "Pulumi.sandbox.yaml").write_text("")
    assert environments(tmp_path) == {"one": "a: 1"}


@pytest.mark.parametrize(
    ("names", "shared"),
    [
        (["dev", "prod"], []),
        # Alone this name is no clash: its own previews run in another GitHub environment.
        (["dev", "prod-preview"], []),
        (["prod", "prod-preview", "prod-drift"], ["prod-drift", "prod-preview"]),
        (["prod", "Prod-Preview"], ["Prod-Preview"]),
    ],
)
def test_no_deployment_shares_a_github_environment_with_anothers_previews(names: list[str], shared: list[str]) -> None:
    """Anybody who may push a branch can run code in the GitHub environment of the previews, and would get the
    deployment's role."""
    assert [line.partition(":")[0] for line in shared_gates(names)] == [f"Pulumi.{name}.yaml" for name in shared]


@pytest.mark.parametrize("arguments", [[], ["--all"]])
def test_ci_says_so_in_place_of_names(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(operations.preview.environments, "environments", lambda: {"prod": "", "prod-preview": ""})
    monkeypatch.setattr(sys, "argv", ["environments", *arguments])
    monkeypatch.setattr(sys, "stdin", io.StringIO("Pulumi.prod.yaml\n"))
    assert main() == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("Pulumi.prod-preview.yaml: ")


def test_the_workflows_have_these_environments_beside_a_stacks_own() -> None:
    workflows = ROOT / ".github" / "workflows"
    for suffix in BESIDE_A_STACK:
        assert f"name: ${{{{ matrix.stack }}}}{suffix}\n" in (workflows / f"{suffix[1:]}.yaml").read_text()


@as_shipped
def test_it_runs_with_python_alone() -> None:
    """The first job of the workflow runs it like this: nothing installed, no site-packages."""
    done = subprocess.run(
        [sys.executable, "-S", "-m", "operations.preview.environments"],
        cwd=ROOT,
        input="Pulumi.dev.yaml\nREADME.md\n",
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stderr, json.loads(done.stdout)) == (0, "", ["dev"])
