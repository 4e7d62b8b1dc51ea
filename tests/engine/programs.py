"""Programs other than ours on the tests' sandbox: a directory with a Pulumi.yaml, and one stack of it.

Owns creating and removing them. Backend, passphrase and plugins are the sandbox's; the configuration is outside the
program's directory, so that an example of the checkout runs in place.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from sandbox.home import CHECKOUT
from tests.engine.conftest import Finished, RunningSandbox


class OtherProgram(RunningSandbox):
    """One stack of the program in `directory`."""

    def __init__(self, beside: RunningSandbox, directory: Path, name: str) -> None:
        self.directory = directory
        self.project: str = yaml.safe_load((directory / "Pulumi.yaml").read_text())["name"]
        self._name = name
        scratch = beside.home.stack / "tests" / f"{self.project}-{name}"
        super().__init__(beside.home, scratch / f"Pulumi.{name}.yaml")

    @property
    def stack_name(self) -> str:
        return self._name

    @property
    def full_name(self) -> str:
        """The name by which another stack refers to it."""
        return f"organization/{self.project}/{self._name}"

    def environment(self) -> dict[str, str]:
        return {**super().environment(), "PULUMI_STACK": self._name}

    def pulumi(self, *arguments: str, check: bool = True) -> Finished:
        return super().pulumi(*arguments, "--cwd", str(self.directory), check=check)

    def create(self) -> None:
        self.configuration.parent.mkdir(parents=True, exist_ok=True)
        # `stack init` writes the salt beside Pulumi.yaml: this keeps it out of the checkout.
        elsewhere = self.configuration.parent
        (elsewhere / "Pulumi.yaml").write_text(yaml.safe_dump({"name": self.project, "runtime": "yaml"}))
        arguments = ("stack", "init", self._name, "--secrets-provider", "passphrase", "--cwd", str(elsewhere))
        super().pulumi(*arguments)

    def configure(self, **values: Any) -> None:
        """Replace the whole configuration; keys are the program's own."""
        document = yaml.safe_load(self.configuration.read_text())
        document["config"] = {f"{self.project}:{key}": value for key, value in values.items()}
        self.configuration.write_text(yaml.safe_dump(document))

    def state(self) -> str:
        """The recorded state as the backend stores it, with secrets encrypted."""
        return self.pulumi("stack", "export").stdout

    def remove(self) -> None:
        self.pulumi("destroy")
        self.pulumi("stack", "rm", self._name, "--yes")
        shutil.rmtree(self.configuration.parent)


@contextmanager
def other_program(
    beside: RunningSandbox, directory: Path, name: str = "tests", **values: Any
) -> Iterator[OtherProgram]:
    """A configured stack of the program in `directory`; removed completely at the end."""
    program = OtherProgram(beside, directory, name)
    program.create()
    try:
        program.configure(**values)
        yield program
    finally:
        program.remove()


def write_program(directory: Path, name: str, text: str, **project: Any) -> Path:
    """A Python program that uses the checkout's environment; `project` is added to its Pulumi.yaml."""
    directory.mkdir(parents=True)
    options = {"toolchain": "pip", "virtualenv": str(CHECKOUT / ".venv")}
    document = {"name": name, "runtime": {"name": "python", "options": options}, **project}
    (directory / "Pulumi.yaml").write_text(yaml.safe_dump(document))
    (directory / "__main__.py").write_text(text)
    return directory
