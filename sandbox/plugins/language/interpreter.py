"""Which Python runs the program: reads the `runtime` options of Pulumi.yaml as the official language host does.

Owns options, virtual environments and their environment variables; `host.py` runs things in them.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

TOOLCHAINS = ("pip", "uv")
TYPE_CHECKERS = ("mypy", "pyright")


class OptionError(Exception):
    """A runtime option that cannot be honoured; the text names the option and the remedy."""


@dataclass(frozen=True)
class Interpreter:
    """A Python and, if it belongs to a virtual environment, that environment's directory."""

    python: Path
    virtual_environment: Path | None
    type_checker: str | None

    def environment(self) -> dict[str, str]:
        """The variables of an activated environment, laid over those of this process."""
        variables = dict(os.environ)
        if self.virtual_environment is not None:
            variables["PATH"] = f"{self.virtual_environment / 'bin'}{os.pathsep}{variables.get('PATH', '')}"
            variables["VIRTUAL_ENV"] = str(self.virtual_environment)
            variables.pop("PYTHONHOME", None)
        return variables


def resolve_interpreter(root: Path, program: Path, options: Mapping[str, Any]) -> Interpreter:
    """The interpreter for the program in directory `program` of the project in `root`. Raises `OptionError`."""
    known = {"toolchain", "virtualenv", "typechecker"}
    for name in options:
        if name not in known:
            raise OptionError(f"runtime.options.{name}: no such option of the python runtime; known: {sorted(known)}")
    type_checker = _choice(options, "typechecker", TYPE_CHECKERS)
    toolchain = _choice(options, "toolchain", (*TOOLCHAINS, "poetry")) or _detected_toolchain(program)
    if toolchain == "poetry":
        raise OptionError(
            "runtime.options.toolchain: the stand-in for the Python language host knows pip and uv, not poetry; "
            "install the official Pulumi CLI"
        )
    given = options.get("virtualenv")
    if given is not None and not isinstance(given, str):
        raise OptionError("runtime.options.virtualenv: must be a string, the path of a virtual environment")
    if not given and toolchain == "pip":
        return Interpreter(_ambient_python(), None, type_checker)
    directory = root / given if given else _uv_project(program) / ".venv"
    python = directory / "bin" / "python"
    if not python.is_file():
        raise OptionError(_missing_environment(given or ".venv", directory, toolchain))
    return Interpreter(python, directory, type_checker)


def _choice(options: Mapping[str, Any], name: str, choices: tuple[str, ...]) -> str | None:
    value = options.get(name)
    if value is not None and value not in choices:
        raise OptionError(f"runtime.options.{name}: {value!r} is unknown; give one of {', '.join(choices)}")
    return value


def _detected_toolchain(program: Path) -> str:
    for directory in (program, *program.parents):
        if (directory / "uv.lock").exists():
            return "uv"
    for directory in (program, *program.parents):
        if (directory / "poetry.lock").exists():
            return "poetry"
    return "pip"


def _uv_project(program: Path) -> Path:
    for directory in (program, *program.parents):
        if (directory / "pyproject.toml").exists():
            return directory
    raise OptionError("runtime.options.toolchain: uv needs a pyproject.toml beside Pulumi.yaml or above it")


def _ambient_python() -> Path:
    command = os.environ.get("PULUMI_PYTHON_CMD")
    for name in [command] if command else ["python3", "python"]:
        found = shutil.which(name)
        if found:
            return Path(found)
    raise OptionError(
        f"failed to locate {command or 'python3 or python'} on your PATH; "
        "install Python or set runtime.options.virtualenv in Pulumi.yaml"
    )


def _missing_environment(option: str, directory: Path, toolchain: str) -> str:
    state = "doesn't appear to be a virtual environment" if directory.exists() else "doesn't exist"
    if toolchain == "uv":
        return f"The virtual environment {str(directory)!r} {state}; run `uv sync` in the project to create it"
    python = directory / "bin" / "python"
    return (
        f'The \'virtualenv\' option in Pulumi.yaml is set to "{option}", but "{directory}" {state}; '
        "run the following commands to create the virtual environment and install dependencies into it:\n\n"
        f"    1. python3 -m venv {directory}\n"
        f"    2. {python} -m pip install --upgrade pip setuptools wheel\n"
        f"    3. {python} -m pip install -r requirements.txt\n"
    )
