"""What other projects publish in their Go modules: charts and definitions to test against, none of it in this tree.

Owns the pins: for each module, the newest version that works with the Go that compiles the sandbox's tools. A module is
fetched once, checked against the sum pinned here, and only the named directory is kept.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from sandbox.home import Cache
from sandbox.toolchain import tools
from sandbox.toolchain.build import workshop

FETCH_SECONDS = 300
# Disk space needed while a module is unpacked.
NEEDED_BYTES = 1_000_000_000


@dataclass(frozen=True, kw_only=True)
class Published:
    """A directory of a Go module."""

    module: str
    version: str
    checksum: str
    """As Go's checksum database has it, `h1:...`."""

    directory: str


PROMETHEUS_OPERATOR = Published(
    module="github.com/prometheus-operator/prometheus-operator",
    version="v0.85.0",
    checksum="h1:M5xLCLEoaW2IJfnuCwFzzpL+jSVQu3KGT84Pye+fW8s=",
    directory="example/prometheus-operator-crd",
)
# Of 2024-01-09, between 14 and 15: Teleport's releases have no tag that Go recognises, and module proxies report this
# version as the latest.
TELEPORT_CHARTS = Published(
    module="github.com/gravitational/teleport",
    version="v1.3.3-0.20240109093301-f31c91231698",
    checksum="h1:fufIyhvXaVy4NV66laK1esMFlhBex4hRT7JutseXvQM=",
    directory="examples/chart",
)

# The same file up to 3.276.
PYTHON_EXECUTOR = Published(
    module="github.com/pulumi/pulumi/sdk/v3",
    version="v3.250.0",
    checksum="h1:J9KDqsFS5rknqym7uVNjtcBF3M+9laOvpDAtY4xmaEg=",
    directory="python/cmd",
)

# Includes its schema.
KUBERNETES_PLUGIN = Published(
    module=tools.KUBERNETES_PLUGIN.module,
    version=f"v{tools.KUBERNETES_PLUGIN_VERSION}",
    checksum="h1:j2bphCf7c2YhnBrhwht2f3TNRRgcMImltUlAgzxr9H4=",
    directory="cmd/pulumi-resource-kubernetes",
)


def fetched(published: Published) -> Path:
    """The directory, kept beside the sandbox's tools."""
    cache = Cache.from_environment()
    name = "-".join([*published.module.split("/")[1:], published.version])
    kept = cache.tools / name / Path(published.directory).name
    if kept.exists():
        return kept
    with workshop(cache, NEEDED_BYTES) as find_go:
        if kept.exists():
            return kept
        go = find_go()
        done = subprocess.run(
            [go.command, "mod", "download", "-json", f"{published.module}@{published.version}"],
            cwd="/",
            env={**go.environment, "GOFLAGS": "-modcacherw"},
            capture_output=True,
            text=True,
            timeout=FETCH_SECONDS,
        )
        assert done.returncode == 0, f"{published.module} cannot be fetched:\n{done.stdout}{done.stderr}"
        answer = json.loads(done.stdout)
        assert answer["Sum"] == published.checksum, (
            f"{published.module} {published.version} is another: {answer['Sum']}"
        )
        staging = kept.parent.with_name(f"{kept.parent.name}.partial")
        shutil.rmtree(staging, ignore_errors=True)
        # Go's cache may be read-only, and copies must be removable like everything else here.
        shutil.copytree(Path(answer["Dir"]) / published.directory, staging / kept.name, copy_function=shutil.copyfile)
        for directory in [staging, *(path for path in staging.rglob("*") if path.is_dir())]:
            directory.chmod(0o755)
        staging.rename(kept.parent)
    return kept
