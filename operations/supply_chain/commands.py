"""The commands `bill-of-materials` and `licences` of `python -m operations`."""

from __future__ import annotations

import json
import os
import re
import sys
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from typing import Annotated

import typer

from operations.stack import ROOT, StackError
from operations.supply_chain.bill_of_materials import bill_of_materials
from operations.supply_chain.licences import ALLOWED, ALLOWED_IN_DEVELOPMENT, refused
from operations.supply_chain.lock import LockError, read_lock

# The packages that `pulumi up` needs, and those that tests and the sandbox add.
RUNTIME = ROOT / "requirements.txt"
DEVELOPMENT = ROOT / "requirements-dev.txt"


def write_bill_of_materials(
    out: Annotated[Path | None, typer.Option(help="Where to write it; by default it is printed.")] = None,
) -> None:
    """Write what `pulumi up` runs as a bill of materials (CycloneDX JSON). SOURCE_DATE_EPOCH sets its timestamp."""
    now = _moment()
    try:
        document = bill_of_materials(read_lock(RUNTIME), version=project_version(), now=now)
    except (LockError, PackageNotFoundError) as error:
        raise StackError(f"{error}; install requirements.txt as it is") from None
    text = json.dumps(document, indent=2) + "\n"
    if out is None:
        print(text, end="")
    else:
        out.write_text(text, encoding="utf-8")


def _moment() -> datetime:
    seconds = os.environ.get("SOURCE_DATE_EPOCH")
    if not seconds:
        return datetime.now(timezone.utc)
    try:
        return datetime.fromtimestamp(int(seconds), timezone.utc)
    except (ValueError, OverflowError, OSError):
        raise StackError(f"SOURCE_DATE_EPOCH: {seconds!r} is no moment; set seconds since 1970, or nothing") from None


def licences() -> None:
    """Compare the licences of all installed packages with the allowed ones. Exit code: 1 if one is not allowed."""
    try:
        found = refused(read_lock(RUNTIME), ALLOWED)
        names = {one.package for one in found}
        found += [one for one in refused(read_lock(DEVELOPMENT), ALLOWED_IN_DEVELOPMENT) if one.package not in names]
    except (LockError, PackageNotFoundError) as error:
        raise StackError(f"{error}; install requirements-dev.txt as it is") from None
    for one in found:
        print(one)
    print("every licence is allowed" if not found else f"{len(found)} are not allowed", file=sys.stderr)
    raise typer.Exit(1 if found else 0)


def project_version(changelog: Path = ROOT / "CHANGELOG.md") -> str:
    """The version in progress or released last: that of the changelog's first section."""
    found = re.search(r"^## \[([0-9]+\.[0-9]+\.[0-9]+)\]", changelog.read_text(encoding="utf-8"), re.MULTILINE)
    if found is None:
        raise StackError(f"{changelog.name}: has no section of a version, such as ## [1.0.0]")
    return found[1]
