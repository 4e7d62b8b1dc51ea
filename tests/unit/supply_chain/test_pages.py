"""Everything that the security page and the changelog name exists."""

from __future__ import annotations

import re
from fnmatch import fnmatch
from pathlib import Path

import pytest

pytestmark = pytest.mark.unit

ROOT = Path(__file__).resolve().parents[3]
# The file that a command in a line of a page writes.
WRITTEN = re.compile(r"(?:\s2?> |--(?:file|out|html|title|body|event-log) )((?:\$\(date \+%F\)|[\w./-])+\.\w+)(?=\s|$)")
PAGES = ("SECURITY.md", "CHANGELOG.md", "docs/privileges.md")


def test_every_control_names_a_test_that_exists() -> None:
    text = (ROOT / "SECURITY.md").read_text()
    (table,) = re.findall(r"^### Ways in.*?$(.*?)^### ", text, re.MULTILINE | re.DOTALL)
    rows = [line for line in table.splitlines() if line.startswith("| ")][2:]
    assert len(rows) >= 12
    for row in rows:
        named = re.findall(r"`((?:unit|engine|charts)/[\w/]+\.py)`", row.split(" | ")[-1])
        assert named, row
        assert [name for name in named if not (ROOT / "tests" / name).is_file()] == []


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page: str) -> None:
    directory = (ROOT / page).parent
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", (ROOT / page).read_text()):
        assert (directory / target).exists(), target


def test_git_passes_over_what_the_pages_commands_write_into_the_checkout() -> None:
    """This includes an exported state: its secrets are encrypted, but it still belongs in no repository."""
    written = {
        name.replace("$(date +%F)", "2026-06-01")
        for page in (ROOT / "docs").glob("*.md")
        for line in re.findall(r"^    .*$", page.read_text(), re.MULTILINE)
        for name in WRITTEN.findall(line)
    }
    assert {"state.json", "backend.json", "prod-2026-06-01.json", "preview.json", "report/comment.md"} <= written
    patterns = [line for line in (ROOT / ".gitignore").read_text().splitlines() if line and not line.startswith("#")]
    # The values file is meant to be committed, in another repository, and the host CAs in this one; backend.json is
    # written where it is made.
    committed = {"clusters/prod/teleport/values.yaml", "environments/prod/host-ca.pem"}
    places = written - committed - {"backend.json"} | {"examples/backend/backend.json"}
    for place in places:
        parts = Path("/", place)
        assert any(fnmatch(str(one), pattern.rstrip("/")) for one in (parts, *parts.parents) for pattern in patterns), (
            place
        )


def test_the_newest_version_of_the_changelog_says_what_a_user_has() -> None:
    """The changelog follows Keep a Changelog: the newest version first, each with a date or `unreleased`, and its kinds
    of changes."""
    text = (ROOT / "CHANGELOG.md").read_text()
    versions = re.findall(r"^## \[(\d+)\.(\d+)\.(\d+)\] - (unreleased|\d{4}-\d\d-\d\d)$", text, re.MULTILINE)
    assert len(versions) == len(re.findall(r"^## ", text, re.MULTILINE)) >= 1
    numbers = [tuple(map(int, version[:3])) for version in versions]
    assert numbers == sorted(numbers, reverse=True)
    assert set(re.findall(r"^### (.*)$", text, re.MULTILINE)) <= {
        "Added",
        "Changed",
        "Deprecated",
        "Removed",
        "Fixed",
        "Security",
    }
