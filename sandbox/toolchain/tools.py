"""What is built: modules, versions, flags, and which version found on PATH serves instead.

Owns the pins. Other modules of this package find, build and cache.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

Version = tuple[int, int, int]

ENGINE_VERSION = "3.250.0"
HELM_VERSION = "3.19.0"
ETCD_VERSION = "3.6.13"
KUBERNETES_VERSION = "1.36.3"

# The releases have no tag that Go recognises for this module, so a commit names it, here one of 2026-01-15.
KUBERNETES_PLUGIN_VERSION = "4.0.0-20260115033456-f47bc2d6f199"

_ENGINE_VERSION_VARIABLE = "github.com/pulumi/pulumi/sdk/v3/go/common/version.Version"
_KUBERNETES_VERSION_PACKAGE = "k8s.io/component-base/version"


@dataclass(frozen=True, kw_only=True)
class GoProgram:
    """A program to compile.

    `expected_seconds` is for two cores with nothing cached, downloads included; only the progress line uses it.
    """

    name: str
    title: str
    version: str
    module: str
    package: str
    expected_seconds: int
    linker_variables: tuple[tuple[str, str], ...] = ()
    build_tags: tuple[str, ...] = ()
    # Programs with the same workspace share a go.mod, so the second reuses what the first compiled.
    workspace: str
    # Requirements of the module's authors that must be overridden by now: `path => path version`.
    replacements: tuple[str, ...] = ()
    # The directory of a module in this tree, whose own go.mod and go.sum apply instead of `module`'s.
    sources: Path | None = None

    @property
    def directory(self) -> str:
        """The name of its directory in the cache: another version is another build."""
        return f"{self.name}-{self.version}"


@dataclass(frozen=True, kw_only=True)
class Tool(GoProgram):
    """A program that the sandbox needs, and that one on PATH may replace."""

    version_arguments: tuple[str, ...]
    serves: Callable[[Version], bool]
    # The required version in words, for the line that says why a program on PATH was passed over.
    wanted: str


def contents(sources: Path) -> str:
    """The version of a module in this tree: twelve digits of its files' digest, as a changed file is another build."""
    digest = hashlib.sha256()
    for file in sorted(path for path in sources.rglob("*") if path.is_file()):
        digest.update(f"{file.relative_to(sources)}\0".encode() + file.read_bytes() + b"\0")
    return digest.hexdigest()[:12]


def _kubernetes(name: str, title: str, expected_seconds: int) -> Tool:
    major, minor, _ = KUBERNETES_VERSION.split(".")
    return Tool(
        name=name,
        title=title,
        version=KUBERNETES_VERSION,
        module="k8s.io/kubernetes",
        package=f"k8s.io/kubernetes/cmd/{name}",
        expected_seconds=expected_seconds,
        linker_variables=(
            (f"{_KUBERNETES_VERSION_PACKAGE}.gitVersion", f"v{KUBERNETES_VERSION}"),
            (f"{_KUBERNETES_VERSION_PACKAGE}.gitMajor", major),
            (f"{_KUBERNETES_VERSION_PACKAGE}.gitMinor", minor),
        ),
        workspace="kubernetes",
        version_arguments=("--version",),
        # The two must match each other, and the version on which the stand-ins were tested.
        serves=lambda version: version[:2] == (int(major), int(minor)),
        wanted=f"{major}.{minor}.x",
    )


# The engine comes last: an interrupted first build has then finished the parts that change least.
TOOLS: tuple[Tool, ...] = (
    Tool(
        name="etcd",
        title="etcd",
        version=ETCD_VERSION,
        module="go.etcd.io/etcd/server/v3",
        package="go.etcd.io/etcd/server/v3",
        expected_seconds=60,
        # From Go 1.27 on, golang.org/x/net/http2 delegates to the standard library and drops names that this etcd's
        # gRPC release still uses; the tag keeps the package's own code. Older compilers ignore it.
        build_tags=("http2legacy",),
        workspace="etcd",
        version_arguments=("--version",),
        serves=lambda version: (3, 5, 0) <= version < (3, 7, 0),
        wanted="3.5 or 3.6",
    ),
    Tool(
        name="helm",
        title="Helm",
        version=HELM_VERSION,
        module="helm.sh/helm/v3",
        package="helm.sh/helm/v3/cmd/helm",
        expected_seconds=120,
        linker_variables=(("helm.sh/helm/v3/internal/version.version", f"v{HELM_VERSION}"),),
        workspace="helm",
        version_arguments=("version", "--short"),
        # The provider embeds Helm 3; it may not be able to read a release record written by Helm 4.
        serves=lambda version: (3, 12, 0) <= version < (4, 0, 0),
        wanted="3.12 or newer, below 4",
    ),
    _kubernetes("kube-apiserver", "Kubernetes API server", 400),
    _kubernetes("kube-controller-manager", "Kubernetes controllers", 100),
    Tool(
        name="pulumi",
        title="Pulumi engine",
        version=ENGINE_VERSION,
        module="github.com/pulumi/pulumi/pkg/v3",
        package="github.com/pulumi/pulumi/pkg/v3/cmd/pulumi",
        expected_seconds=255,
        # Without it the command reports version 0, which the Automation API refuses.
        linker_variables=((_ENGINE_VERSION_VARIABLE, f"v{ENGINE_VERSION}"),),
        workspace="pulumi",
        version_arguments=("version",),
        serves=lambda version: version >= (3, 250, 0),
        wanted=f"{ENGINE_VERSION} or newer",
    ),
)

KUBERNETES_PLUGIN_VERSION_VARIABLE = "github.com/pulumi/pulumi-kubernetes/provider/v4/pkg/version.Version"
# Not one of the tools: the sandbox has a stand-in for it, and it is built only on request.
KUBERNETES_PLUGIN = GoProgram(
    name="pulumi-resource-kubernetes",
    title="official kubernetes plugin",
    version=KUBERNETES_PLUGIN_VERSION,
    module="github.com/pulumi/pulumi-kubernetes/provider/v4",
    package=".",
    expected_seconds=480,
    workspace="kubernetes-plugin",
)


def _bridged(
    name: str, expected_seconds: int, module: str = "bridged-plugins", package: str | None = None
) -> GoProgram:
    return GoProgram(
        name=f"pulumi-resource-{name}",
        title=f"{name} plugin of the official provider's code",
        # That of the plugin it replaces, set once the version that the SDK asks for is known.
        version="",
        module=f"local/{module}",
        package=package or f"./{name}",
        expected_seconds=expected_seconds,
        workspace=module,
        sources=Path(__file__).parent / module.replace("-", "_"),
    )


# The modules' go.mod pins their providers and the bridge. The first to be built also compiles the bridge.
BRIDGED_PLUGINS = {
    "tls": _bridged("tls", 150),
    "random": _bridged("random", 10),
    "aws": _bridged("aws", 320, "bridged-aws", "."),
}
