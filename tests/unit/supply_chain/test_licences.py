"""Every installed package has a licence that this project accepts, and a package without one is reported."""

from __future__ import annotations

from email.message import Message
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from typing import Any

import pytest

from operations.supply_chain import licences
from operations.supply_chain.licences import ALLOWED, ALLOWED_IN_DEVELOPMENT, Refused, allowed, licence_of, refused
from operations.supply_chain.lock import LockedPackage, read_lock

pytestmark = pytest.mark.unit

ROOT = Path(__file__).resolve().parents[3]


class Installed:
    """A distribution with the given metadata."""

    def __init__(self, *fields: tuple[str, str], version: str = "1.0") -> None:
        self.version = version
        self.metadata = Message()
        for key, value in fields:
            self.metadata[key] = value


def test_every_package_of_a_deployment_is_under_an_allowed_licence() -> None:
    packages = read_lock(ROOT / "requirements.txt")
    assert len([package for package in packages if package.applies()]) > 30
    assert refused(packages) == []


@pytest.mark.slow
def test_every_other_package_is_under_one_that_is_allowed_beside_the_program() -> None:
    assert refused(read_lock(ROOT / "requirements-dev.txt"), ALLOWED_IN_DEVELOPMENT) == []


def test_what_is_allowed_beside_the_program_is_not_all_allowed_in_it() -> None:
    """psycopg is LGPL: the sandbox and the tests use it, but nothing that is deployed may."""
    (psycopg,) = [one for one in read_lock(ROOT / "requirements-dev.txt") if one.name == "psycopg"]
    assert refused([psycopg]) == [Refused(package="psycopg", licence="LGPL-3.0-only")]
    assert "psycopg" not in {one.name for one in read_lock(ROOT / "requirements.txt")}


@pytest.mark.parametrize(
    ("fields", "licence"),
    [
        ([("License-Expression", "ISC OR MIT"), ("License", "GPL-3.0-only")], "ISC OR MIT"),
        ([("License", "MIT")], "MIT"),
        ([("License", "MIT License\n\nCopyright")], "MIT"),
        ([("License", "3-Clause BSD License")], "BSD-3-Clause"),
        ([("License", "Dual License"), ("Classifier", "License :: OSI Approved :: BSD License"),
          ("Classifier", "License :: OSI Approved :: Apache Software License")], "Apache-2.0 OR BSD-3-Clause"),
        ([("Classifier", "Programming Language :: Python"),
          ("Classifier", "License :: OSI Approved :: MIT License")], "MIT"),
        ([("License", "Ask our lawyers")], ""),
        ([], ""),
    ],
)  # fmt: skip
def test_the_licence_is_read_from_the_metadata(fields: list[tuple[str, str]], licence: str) -> None:
    found: Any = Installed(*fields)
    assert licence_of(found) == licence


@pytest.mark.parametrize(
    ("expression", "answer"),
    [
        ("MIT", True),
        ("GPL-3.0-only", False),
        ("GPL-3.0-only OR MIT", True),
        ("GPL-3.0-only AND MIT", False),
        ("MIT AND (GPL-3.0-only OR ISC)", True),
        ("MIT AND (GPL-3.0-only OR AGPL-3.0-only)", False),
        # AND binds more tightly than OR.
        ("MIT OR GPL-3.0-only AND AGPL-3.0-only", True),
        ("GPL-3.0-only AND MIT OR AGPL-3.0-only", False),
        ("Apache-2.0 WITH LLVM-exception", False),
        ("(MIT", False),
        ("MIT)", False),
        ("MIT OR", True),
        ("", False),
        ("AND", False),
    ],
)
def test_an_expression_is_allowed(expression: str, answer: bool) -> None:
    assert allowed(expression, ALLOWED) is answer


def test_a_refused_licence_is_told_with_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    worlds: dict[str, Any] = {
        "fine": Installed(("License-Expression", "MIT")),
        "unknown": Installed(),
        "viral": Installed(("License-Expression", "AGPL-3.0-only")),
    }
    monkeypatch.setattr(licences, "distribution", worlds.__getitem__)
    packages = [LockedPackage(name=name, version="1.0") for name in worlds]
    elsewhere = LockedPackage(name="absent", version="1.0", marker="sys_platform == 'win32'")
    found = refused([*packages, elsewhere])
    assert [str(one) for one in found] == ["unknown: its metadata does not tell its licence", "viral: AGPL-3.0-only"]


def test_another_version_than_the_locked_one_is_not_judged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(licences, "distribution", lambda name: Installed(("License", "MIT"), version="2.0"))
    with pytest.raises(PackageNotFoundError, match=r"x==1\.0 \(installed is 2\.0\)"):
        refused([LockedPackage(name="x", version="1.0")])
