"""Which program stands in for an image, and the launchers that a container finds on its PATH.

Owns the table. An image missing from it cannot be pulled: there is no registry.
"""

from __future__ import annotations

import os
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path

from sandbox.home import CHECKOUT

_TELEPORT = tuple(
    f"teleport{edition}{flavour}" for edition in ("", "-ent") for flavour in ("", "-distroless", "-distroless-debug")
)


@dataclass(frozen=True)
class Image:
    """`entrypoint` runs if a container has no command, `arguments` if it has neither command nor args.

    `commands` are the launchers: name -> Python module. `shell`: whether the machine's own programs are available too.
    """

    repositories: tuple[str, ...]
    entrypoint: tuple[str, ...]
    arguments: tuple[str, ...]
    commands: tuple[tuple[str, str], ...]
    shell: bool
    # Whether the real image runs as root unless the pod says otherwise.
    root_user: bool

    @property
    def name(self) -> str:
        return self.repositories[0]


# Entry points as in the published images.
IMAGES: tuple[Image, ...] = (
    Image(
        repositories=("access-graph",),
        entrypoint=("access-graph",),
        arguments=(),
        commands=(("access-graph", "sandbox.workloads.access_graph"),),
        shell=False,
        root_user=False,
    ),
    Image(
        repositories=_TELEPORT,
        entrypoint=("teleport", "start", "-c", "/etc/teleport/teleport.yaml"),
        arguments=(),
        commands=(("teleport", "sandbox.workloads.teleport"),),
        shell=False,
        root_user=True,
    ),
    Image(
        repositories=("postgres",),
        entrypoint=("/bin/sh", "-ec", 'exec "$@"', "docker-entrypoint.sh"),
        # The real image's server never runs as a pod here: the cloud runs the databases.
        arguments=("psql", "--version"),
        commands=(("psql", "sandbox.workloads.psql"),),
        shell=True,
        root_user=True,
    ),
    Image(
        repositories=("aws-cli",),
        entrypoint=("aws",),
        arguments=("--version",),
        commands=(("aws", "sandbox.cloud.aws_cli"),),
        shell=True,
        root_user=True,
    ),
    Image(
        repositories=("kubectl",),
        entrypoint=("kubectl",),
        arguments=(),
        commands=(("kubectl", "sandbox.workloads.kubectl"),),
        shell=True,
        root_user=True,
    ),
)


class ImageUnknown(Exception):
    """There is no program for the image."""


def find_image(reference: str) -> Image:
    """Matches the last part of the repository, so that a private mirror of an image works too. Raises ImageUnknown."""
    repository = reference.partition("@")[0].rpartition("/")[2].partition(":")[0]
    for image in IMAGES:
        if repository in image.repositories:
            return image
    known = ", ".join(image.name for image in IMAGES)
    raise ImageUnknown(f'failed to pull image "{reference}": not found: this node has programs for {known} alone')


def normalized(reference: str) -> str:
    """The reference with its tag, as the runtime reports it."""
    last = reference.rpartition("/")[2]
    return reference if ":" in last or "@" in last else f"{reference}:latest"


class Launchers:
    """Directories of small scripts, one directory per image, that run the stand-ins by name."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def create(self) -> None:
        for image in IMAGES:
            target = self._directory / image.name
            target.mkdir(parents=True, exist_ok=True)
            for command, module in image.commands:
                launcher = target / command
                script = f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m {module} "$@"\n'
                if not launcher.exists() or launcher.read_text() != script:
                    temporary = target / f".{command}"
                    temporary.write_text(script)
                    temporary.chmod(0o755)
                    temporary.replace(launcher)

    def path(self, image: Image) -> str:
        """The PATH of a container with that image."""
        own = str(self._directory / image.name)
        return os.pathsep.join([own, "/usr/local/bin", "/usr/bin", "/bin"] if image.shell else [own])

    def environment(self) -> dict[str, str]:
        """The variables that the launchers themselves need."""
        return {"PYTHONPATH": str(CHECKOUT), "PYTHONUNBUFFERED": "1", "PYTHONDONTWRITEBYTECODE": "1"}
