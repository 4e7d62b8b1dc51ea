"""The plugins that a program needs, as declared by the Pulumi SDKs installed beside it.

Reads directories instead of calling `pip list`, as the official host does at a cost of half a second per run.
"""

from __future__ import annotations

import json
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sandbox.plugins.language.interpreter import Interpreter

# Pulumi's own packages that have no plugin and carry no file that says so.
WITHOUT_PLUGIN = frozenset({"pulumi_policy", "pulumi_esc_sdk"})


@dataclass(frozen=True)
class RequiredPackage:
    """`version` has a leading `v`; `server` is empty for Pulumi's own; `parameterization`: see pulumi-plugin.json."""

    name: str
    version: str
    server: str
    parameterization: dict[str, Any] | None


def required_packages(interpreter: Interpreter) -> list[RequiredPackage]:
    """Every installed SDK, used or not, as the official host answers; sorted by name."""
    found: dict[str, RequiredPackage] = {}
    for folder in _package_folders(interpreter):
        if not folder.is_dir():
            continue
        versions = _distribution_versions(folder)
        modules = {path.parent.name for path in folder.glob("*/pulumi-plugin.json")}
        modules.update(name for name in versions if name.startswith("pulumi_"))
        for module in modules - WITHOUT_PLUGIN:
            package = _required_package(folder / module / "pulumi-plugin.json", module, versions.get(module))
            if package is not None:
                found.setdefault(package.name, package)
    return [found[name] for name in sorted(found)]


def _package_folders(interpreter: Interpreter) -> list[Path]:
    environment = interpreter.virtual_environment
    if environment is not None:
        configuration = environment / "pyvenv.cfg"
        text = configuration.read_text() if configuration.is_file() else ""
        if not re.search(r"(?im)^include-system-site-packages\s*=\s*true", text):
            return sorted(environment.glob("lib/python*/site-packages"))
    listed = subprocess.run(
        [str(interpreter.python), "-c", "import json, sys; print(json.dumps(sys.path[1:]))"],
        capture_output=True,
        text=True,
        check=True,
        env=interpreter.environment(),
    )
    return [Path(entry) for entry in json.loads(listed.stdout)]


def _distribution_versions(folder: Path) -> dict[str, str]:
    """Version by module name: `pulumi_aws-7.51.1.dist-info` gives `{"pulumi_aws": "7.51.1"}`."""
    versions: dict[str, str] = {}
    for path in folder.glob("*.dist-info"):
        name, _, version = path.name.removesuffix(".dist-info").partition("-")
        versions[re.sub(r"[-_.]+", "_", name.lower())] = version
    return versions


def _required_package(description: Path, module: str, installed: str | None) -> RequiredPackage | None:
    said: dict[str, Any] = json.loads(description.read_text()) if description.is_file() else {"resource": True}
    if not said.get("resource"):
        return None
    version = said.get("version") or plugin_version(installed or "")
    if version is None:
        return None
    return RequiredPackage(
        name=said.get("name") or module.removeprefix("pulumi_").replace("_", "-"),
        version=version if version.startswith("v") else f"v{version}",
        server=said.get("server") or "",
        parameterization=said.get("parameterization"),
    )


def plugin_version(package_version: str) -> str | None:
    """A PEP 440 version as a semantic one: 1.0 becomes 1.0.0, 1.2.3a4 becomes 1.2.3-alpha.4; None if there is none."""
    match = re.fullmatch(
        r"(?P<release>\d+(?:\.\d+)*)(?:(?P<stage>a|b|rc)(?P<number>\d+))?(?:\.post(?P<post>\d+))?(?:\.dev(?P<dev>\d+))?",
        package_version,
    )
    if match is None:
        return None
    segments = [*match["release"].split("."), "0", "0"]
    version = ".".join(segments[: max(3, len(segments) - 2)])
    if match["stage"]:
        version += f"-{ {'a': 'alpha', 'b': 'beta', 'rc': 'rc'}[match['stage']] }.{match['number']}".replace(" ", "")
    build = "".join(f"{kind}{match[kind]}" for kind in ("post", "dev") if match[kind])
    return f"{version}+{build}" if build else version
