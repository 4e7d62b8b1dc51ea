"""The world that the program works on, as far as calls between Teleport and TAG depend on it: what the engine
remembers, the objects in the cluster, the database's logins, the pods with what they may have loaded, and Teleport's
host CA.

A pod loads what it uses when it starts, and may start at any moment. For each kind of pod the model therefore keeps
everything that one of its pods may have loaded: all that was there at any moment since the last rollout. Nothing here
knows the program.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from tests.unit.model.certificates import identities


class Leaf(NamedTuple):
    """A server certificate with its key."""

    signer: str
    """Identity of the authority that signed the certificate."""
    names: frozenset[str]
    serial: int


class Uri(NamedTuple):
    login: str
    password: int | None
    """None for a login by IAM."""


class GraphTemplate(NamedTuple):
    """The part of the access graph's release that its pods depend on."""

    tls_secret: str
    database_secret: str
    accepted: frozenset[str]
    """Fingerprints of the host CAs that the pods accept."""
    checksum: tuple[Any, ...]


class GraphLoad(NamedTuple):
    leaf: Leaf
    uri: Uri
    accepted: frozenset[str]


class AuthTemplate(NamedTuple):
    endpoint: str | None
    """Host that auth dials; None without an access graph."""
    checksum: str
    """Checksum of the authorities, as in the pods' annotation."""


class AuthLoad(NamedTuple):
    endpoint: str | None
    bundle: str


UNPATCHED, WITHOUT_GRAPH = AuthTemplate(None, ""), AuthLoad(None, "")


@dataclass(frozen=True)
class Graph:
    """A release of the access graph: the template of its pods, and everything that any of them may have loaded."""

    host: str
    template: GraphTemplate
    loads: frozenset[GraphLoad] = frozenset()


@dataclass(frozen=True)
class Authority:
    """An authority in the engine's state: its key and its certificate."""

    pem: str
    key: int
    renewal: int = 0
    due: bool = False


@dataclass(frozen=True)
class Password:
    keeper: int
    value: int


@dataclass
class World:
    """The values are immutable, so `copy` is cheap."""

    # The engine's state.
    state: dict[str, bool] = field(default_factory=dict)
    """Resources that the engine deletes once the program no longer registers them; the value says whether the object
    stays."""
    authorities: dict[int, Authority] = field(default_factory=dict)
    leaf: Leaf | None = None
    leaf_due: bool = False
    passwords: dict[str, Password] = field(default_factory=dict)
    jobs: dict[str, Any] = field(default_factory=dict)
    """By the name of each Job that has run: the inputs of that run."""
    runs: int = 0
    made: int = 0
    """Counts the keys, passwords and certificates made so far; each gets its own number."""
    ledger: Mapping[str, Any] | None = None

    # Kubernetes.
    secrets: dict[str, Leaf | Uri] = field(default_factory=dict)
    config_map: str | None = None
    graphs: dict[str, Graph] = field(default_factory=dict)
    """By name of the release."""
    auth: AuthTemplate = UNPATCHED
    auth_loads: frozenset[AuthLoad] = frozenset({WITHOUT_GRAPH})
    namespace_exists: bool = False
    teleport_exists: bool = True
    """Whether Teleport's release exists, from before the first `up` or from one of the `up`s."""
    auth_runs: bool = True
    handed_over: AuthTemplate | None = None
    """The template that was handed to another owner of the release, who rolls it out."""
    hand_overs: int = 0
    """How often the ConfigMap with the handed-over values was written."""

    # Elsewhere.
    logins: dict[str, int | None] = field(default_factory=dict)
    """The password of each login that can log in; None for a login by IAM."""
    issuer: str = ""
    """Identity of the authority that signs what cert-manager issues."""
    presented: frozenset[str] = frozenset()
    """Fingerprints of the host CAs that signed the certificates which auths present."""

    missing: frozenset[str] = frozenset()
    """Objects that a pod would fail to mount."""

    def copy(self) -> World:
        copied = replace(self)
        for name, value in vars(self).items():
            if isinstance(value, dict):
                setattr(copied, name, dict(value))
        return copied

    def fresh(self) -> int:
        self.made += 1
        return self.made

    def observe(self) -> None:
        """Record that any pod may start at this moment and keep what it finds."""
        self.missing = frozenset()
        for release, graph in self.graphs.items():
            load = self._graph_load(graph.template)
            if load is not None and load not in graph.loads:
                self.graphs[release] = replace(graph, loads=graph.loads | {load})
        load_ = self._auth_load()
        if load_ is not None:
            self.auth_loads |= {load_}

    def roll_graph(self, release: str) -> None:
        """Every pod of this release has restarted."""
        graph = self.graphs[release]
        load = self._graph_load(graph.template)
        self.graphs[release] = replace(graph, loads=frozenset() if load is None else frozenset({load}))

    def roll_auth(self) -> None:
        load = self._auth_load()
        self.auth_loads = frozenset() if load is None else frozenset({load})

    def recover(self) -> None:
        """Helm rolls back the upgrade in which it was killed: the pods of the unfinished upgrade are gone."""
        for release, graph in self.graphs.items():
            loads = frozenset(load for load in graph.loads if load.accepted == graph.template.accepted)
            self.graphs[release] = replace(graph, loads=loads)
        self.auth_loads = frozenset(load for load in self.auth_loads if load.endpoint == self.auth.endpoint)

    def _graph_load(self, template: GraphTemplate) -> GraphLoad | None:
        leaf, uri = self.secrets.get(template.tls_secret), self.secrets.get(template.database_secret)
        for name, content in ((template.tls_secret, leaf), (template.database_secret, uri)):
            if content is None:
                self.missing |= {f"Secret {name}"}
        if not isinstance(leaf, Leaf) or not isinstance(uri, Uri):
            return None
        return GraphLoad(leaf, uri, template.accepted)

    def _auth_load(self) -> AuthLoad | None:
        if self.auth.endpoint is None:
            return AuthLoad(None, "")
        if self.config_map is None:
            self.missing |= {"ConfigMap teleport-access-graph-ca"}
            return None
        return AuthLoad(self.auth.endpoint, self.config_map)

    def broken(self) -> list[str]:
        """Every invariant that does not hold, described in words."""
        return [*self._broken()]

    def _broken(self) -> Iterator[str]:
        for thing in sorted(self.missing):
            yield f"{thing} is mounted, and is not there"
        if not self.auth_runs:
            yield "Teleport is uninstalled"
        for auth in self.auth_loads:
            if auth.endpoint is None:
                continue
            called = [graph for graph in self.graphs.values() if auth.endpoint == graph.host or _is_external(auth)]
            if not called:
                yield f"auth dials {auth.endpoint}, and nobody is there"
            for graph in called:
                for load in graph.loads:
                    yield from self._call(auth, load)

    def _call(self, auth: AuthLoad, graph: GraphLoad) -> Iterator[str]:
        if graph.leaf.signer not in identities(auth.bundle):
            yield "a running auth does not trust a serving certificate"
        if auth.endpoint not in graph.leaf.names:
            yield f"a serving certificate lacks the name {auth.endpoint}, which auth dials"
        if not self.presented <= graph.accepted:
            yield "a serving graph does not accept a host CA in use"
        if self.logins.get(graph.uri.login, 0) != graph.uri.password:
            yield f"the login {graph.uri.login} is in use, and is not valid"


def _is_external(auth: AuthLoad) -> bool:
    """Whether auth dials the external name. DNS decides where that name points: it may be any of the graphs."""
    return auth.endpoint is not None and ".svc." not in auth.endpoint
