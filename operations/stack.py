"""What a stack tells of itself without being run: its configuration file and its outputs.

The program's own `components.settings` checks the configuration; only the outputs need the engine.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from components.go_yaml import EngineLoader
from components.settings import Settings, load_settings
from components.settings.names import PROJECT

ROOT = Path(__file__).resolve().parents[1]
# Seconds; reading the outputs is one request to the state backend.
ENGINE_TIMEOUT = 60.0


class StackError(Exception):
    """The stack's configuration or outputs cannot be read; the text says what to do."""


@dataclass(frozen=True, kw_only=True)
class StackFile:
    """A stack's configuration file, its keys sorted as the engine sorts them. Secret values are not read."""

    name: str
    path: Path
    plain: Mapping[str, Any]
    secret_keys: frozenset[str]
    strangers: tuple[str, ...] = ()
    """Full keys that belong to other namespaces."""

    def settings(self, root: Path = ROOT) -> Settings:
        """Raises `SettingsError` with everything that is wrong in the file."""
        return load_settings(self.plain, self.secret_keys, root=root, stack=self.name, strangers=self.strangers)


def read_stack_file(stack: str | None, file: Path | None = None, root: Path = ROOT) -> StackFile:
    """Read a stack's configuration (by default the selected one's) from `file`, else `Pulumi.<stack>.yaml`, with
    Pulumi.yaml's defaults. What an `environment` of Pulumi ESC adds is missing: only the engine knows it."""
    name = short_name(stack or selected_stack(root))
    path = file or root / f"Pulumi.{name}.yaml"
    said = str(file or path.name)  # the user's own file is named as the user wrote it: two files may share a name
    try:
        document = yaml.load(path.read_text(encoding="utf-8"), Loader=EngineLoader) or {}
    except FileNotFoundError:
        raise StackError(
            f"{said}: does not exist; name the stack with --stack, or its file with --config-file"
        ) from None
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise StackError(f"{said}: cannot be read: {error}") from None
    entries = document.get("config") if isinstance(document, dict) else None
    if not isinstance(entries, dict):
        raise StackError(f"{said}: has no `config` map; is it the file of a stack?")
    entries = {_whole_key(key): value for key, value in entries.items()}
    for key, value in _project_defaults(root).items():
        entries.setdefault(key, value)
    prefix = f"{PROJECT}:"
    plain: dict[str, Any] = {}
    secret: set[str] = set()
    strangers: list[str] = []
    for key, value in entries.items():
        if not key.startswith(prefix):
            strangers.append(key)
            continue
        name_of_key = key.removeprefix(prefix)
        if is_encrypted(value):
            secret.add(name_of_key)
        else:
            plain[name_of_key] = value
    return StackFile(name=name, path=path, plain=plain, secret_keys=frozenset(secret), strangers=tuple(strangers))


def _whole_key(key: Any) -> str:
    """The key with its namespace; the engine takes a key without one for the project's."""
    return str(key) if ":" in str(key) else f"{PROJECT}:{key}"


def _project_defaults(root: Path) -> dict[str, Any]:
    """Pulumi.yaml's values for keys that a stack does not set, by full key.

    As the engine reads them (sdk/go/common/workspace/config.go of 3.250): a plain value, or a declaration with
    `default` or `value`. A stack's own value replaces the default; they are not merged.
    """
    path = root / "Pulumi.yaml"
    try:
        document = yaml.load(path.read_text(encoding="utf-8"), Loader=EngineLoader)
    except FileNotFoundError:
        return {}  # the engine reports a missing project itself
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise StackError(f"{path.name}: cannot be read: {error}") from None
    declared = document.get("config") if isinstance(document, dict) else None
    found: dict[str, Any] = {}
    for key, declaration in (declared if isinstance(declared, dict) else {}).items():
        value = declaration
        if isinstance(declaration, dict):
            value = declaration.get("default", declaration.get("value"))
        if value is not None:
            found[_whole_key(key)] = value
    return found


def read_outputs(stack: str | None, file: Path | None = None, root: Path = ROOT) -> dict[str, Any]:
    """The stack's plain outputs, from a file with the JSON of `pulumi stack output`, else from the engine."""
    if file is not None:
        try:
            text = file.read_text(encoding="utf-8")
        except (OSError, ValueError) as error:
            raise StackError(f"{file}: cannot be read: {error}") from None
    else:
        text = run_engine(["stack", "output", "--json", *(["--stack", stack] if stack else [])], root)
    try:
        outputs = json.loads(text)
    except ValueError:
        outputs = None
    if not isinstance(outputs, dict):
        raise StackError(f"{file or 'pulumi stack output'}: no JSON object; write it with `pulumi stack output --json`")
    return outputs


def selected_stack(root: Path = ROOT) -> str:
    """The stack that `pulumi` commands without --stack act on."""
    return os.environ.get("PULUMI_STACK") or run_engine(["stack", "--show-name"], root).strip()


def short_name(stack: str) -> str:
    """The last part of `organization/project/stack`, which file names use."""
    return stack.rsplit("/", 1)[-1]


def run_engine(arguments: list[str], root: Path = ROOT, timeout: float = ENGINE_TIMEOUT) -> str:
    """The engine's standard output. Raises `StackError` with the engine's own message when it fails."""
    finished = ask_engine(arguments, root, timeout)
    if finished.returncode:
        message = finished.stderr.strip().removeprefix("error: ") or finished.stdout.strip()
        raise StackError(f"pulumi {' '.join(arguments[:2])}: {message}")
    return finished.stdout


def ask_engine(
    arguments: list[str], root: Path = ROOT, timeout: float = ENGINE_TIMEOUT
) -> subprocess.CompletedProcess[str]:
    """How the engine ends and what it prints, failed or not. Raises `StackError` when it is missing or does not end."""
    engine = shutil.which("pulumi")
    if engine is None:
        raise StackError("pulumi: is not on PATH; install it (on the sandbox: the environment of `make env`)")
    try:
        return subprocess.run(
            [engine, *arguments, "--non-interactive"],
            cwd=root,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise StackError(
            f"pulumi {arguments[0]}: no answer in {timeout:g} s; is the state backend reachable?"
        ) from None


def in_file(configuration: Path | None) -> list[str]:
    """The engine's arguments for a configuration file of the user's; absolute, because the engine runs in the program's
    directory."""
    return ["--config-file", str(configuration.absolute())] if configuration else []


def is_encrypted(value: Any) -> bool:
    """Whether the engine keeps the value as a secret: one ciphertext anywhere in a value makes all of it secret."""
    if isinstance(value, dict):
        if set(value) == {"secure"}:
            return True
        return any(is_encrypted(inner) for inner in value.values())
    return isinstance(value, list) and any(is_encrypted(inner) for inner in value)
