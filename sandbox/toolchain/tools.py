"""What is built: modules, versions, flags, and which version found on PATH serves instead.

Owns the pins. Leaves finding, building and caching to its neighbours.
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

# Its releases have no tag that Go knows for this module, so it is named by a commit, here one of 2026-01-15.
KUBERNETES_PLUGIN_VERSION = "4.0.0-20260115033456-f47bc2d6f199"

_ENGINE_VERSION_VARIABLE = "github.com/pulumi/pulumi/sdk/v3/go/common/version.Version"
_KUBERNETES_VERSION_PACKAGE = "k8s.io/component-base/version"


@dataclass(frozen=True, kw_only=True)
class GoProgram:
    """What is compiled.

    `expected_seconds` is for two cores with nothing cached, downloads included; it is only for the progress line.
    """

    name: str
    title: str
    version: str
    module: str
    package: str
    expected_seconds: int
    linker_variables: tuple[tuple[str, str], ...] = ()
    build_tags: tuple[str, ...] = ()
    # Programs with one workspace share a go.mod, and so what is compiled for the first serves the second.
    workspace: str
    # Of what the module's authors required, what has to be another by now: `path => path version`.
    replacements: tuple[str, ...] = ()
    # The directory of a module of this tree, whose own go.mod and go.sum hold, in place of `module`'s.
    sources: Path | None = None

    @property
    def directory(self) -> str:
        """Name of its directory in the cache: another version is another build."""
        return f"{self.name}-{self.version}"


@dataclass(frozen=True, kw_only=True)
class Tool(GoProgram):
    """One that the sandbox needs, and of which one on PATH may serve."""

    version_arguments: tuple[str, ...]
    serves: Callable[[Version], bool]
    # What a version on PATH must be, in words, for the line that says why one was passed over.
    wanted: str


def contents(sources: Path) -> str:
    """Twelve digits of what is in a module of this tree: its version, as another edition of it is another build."""
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
        # The two must agree with each other and with what the stand-ins were tried on.
        serves=lambda version: version[:2] == (int(major), int(minor)),
        wanted=f"{major}.{minor}.x",
    )


# The engine comes last: a first build that is interrupted has then done the parts that change least.
TOOLS: tuple[Tool, ...] = (
    Tool(
        name="etcd",
        title="etcd",
        version=ETCD_VERSION,
        module="go.etcd.io/etcd/server/v3",
        package="go.etcd.io/etcd/server/v3",
        expected_seconds=60,
        # From Go 1.27 on, golang.org/x/net/http2 hands over to the standard library and drops names that the gRPC
        # release which this etcd pins still uses; the tag keeps the package's own code. Older compilers ignore it.
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
        # The provider embeds Helm 3; a release's record written by Helm 4 is not promised to be readable there.
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
        # Without it the command says it is version 0, and the Automation API refuses it.
        linker_variables=((_ENGINE_VERSION_VARIABLE, f"v{ENGINE_VERSION}"),),
        workspace="pulumi",
        version_arguments=("version",),
        serves=lambda version: version >= (3, 250, 0),
        wanted=f"{ENGINE_VERSION} or newer",
    ),
)

KUBERNETES_PLUGIN_VERSION_VARIABLE = "github.com/pulumi/pulumi-kubernetes/provider/v4/pkg/version.Version"
# Not among the tools: the sandbox has a stand-in for it, and it is built where somebody asks.
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
        # Of the plugin that it is like, once it is known which the SDK asks for.
        version="",
        module=f"local/{module}",
        package=package or f"./{name}",
        expected_seconds=expected_seconds,
        workspace=module,
        sources=Path(__file__).parent / module.replace("-", "_"),
    )


# Their providers and the bridge have versions in the modules' go.mod. The first to be built compiles the bridge.
BRIDGED_PLUGINS = {
    "tls": _bridged("tls", 150),
    "random": _bridged("random", 10),
    "aws": _bridged("aws", 320, "bridged-aws", "."),
}
