"""One `up` on the world: the operations of the program's graph, each with those it waits for. They may run in any order
that these dependencies allow, and the `up` may end after any of them.

This module decides what each operation does to the world; the program decides what is wanted. `test_order.py` checks
that the names and the order are the program's.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

from components.host_authority_succession import pems, successions
from components.ledger import Ledger, ledger_content
from components.login_slots import active_slot, login_of, slot_passwords
from components.settings.names import ISSUED_SECRET_NAME, TLS_SECRET_NAME, service_host
from components.tls_assembly import authority_step, trust_of
from tests.samples import TELEPORT_CLUSTER
from tests.unit.model.certificates import authority, bundle_of, identities, identity
from tests.unit.model.configurations import Configuration, refused, understood
from tests.unit.model.world import Authority, AuthTemplate, Graph, GraphTemplate, Leaf, Password, Uri, World

Operation = Callable[[World], Iterator[None]]
TELEPORT = f"teleport-{TELEPORT_CLUSTER}"
RELEASE, LOGINS = "access-graph-release", "database-logins-job"
AUTH, PROXIES, AUTHORITIES = f"{TELEPORT}-release", f"{TELEPORT}-proxies", f"{TELEPORT}-ca"
HAND_OVER, ROLLOUT = f"{TELEPORT}-values", f"{TELEPORT}-rollout-job"
NAMESPACE, ACCESS, ISSUED = "namespace-namespace", "database-access-job", "issued-certificate-certificate"
SERVER, PAIR = "certificates-server", "credentials-tls"
LEDGER = "ledger"


class Refused(Exception):
    """The program refuses the `up`."""


class Up:
    """An `up` that has begun; `broken` lists the invariants that failed on the way."""

    def __init__(self, world: World, configuration: Configuration, *, forced: bool = False) -> None:
        """Raises `Refused` before anything is done, unless `forced`. A pending release is recovered first, because the
        engine could not begin otherwise."""
        world.recover()
        # A namespace that the stack does not create was created by somebody else beforehand.
        world.namespace_exists |= not configuration.create_namespace
        self.world, self.configuration = world, configuration
        self.settings, self.intake = understood(configuration)
        self.before = Ledger.parse(world.ledger)
        problems = refused(configuration, self.before, self._bundle(planned=True))
        if problems and not forced:
            raise Refused("\n".join(map(str, problems)))
        self.accepted = {one.cluster: one.accepted for one in successions(self.before, self.settings, self.intake)}
        self.waits: dict[str, set[str]] = {}
        self.operations: dict[str, Operation] = {}
        self.kept: dict[str, bool] = {}
        """Resources that enter the engine's state when they are made; the value says whether the object stays after the
        program no longer registers it."""
        self._plan()
        self.running: dict[str, Iterator[None]] = {}
        self.done: set[str] = set()
        self.broken: list[str] = []

    # What comes next.

    def ready(self) -> list[str]:
        """Operations that may advance now. Empty when the `up` is complete, or when every operation left has to wait or
        cannot succeed."""
        waiting = {ROLLOUT} if self._awaits_owner() else set()
        if self.world.teleport_exists and AUTH not in self.world.state and not self.configuration.adopt:
            waiting.add(AUTH)  # Helm: cannot re-use a name that is still in use
        if self.world.namespace_exists and NAMESPACE not in self.world.state:
            waiting.add(NAMESPACE)  # the plugin does not take over an existing object
        return [
            name
            for name, before in self.waits.items()
            if name not in self.done and before <= self.done and name not in waiting
        ]

    @property
    def complete(self) -> bool:
        return len(self.done) == len(self.waits)

    def advance(self, name: str) -> None:
        """Advance the operation to its next effect that the world can see."""
        running = self.running.setdefault(name, self.operations[name](self.world))
        try:
            next(running)
        except StopIteration:
            del self.running[name]
            self.done.add(name)
            if name in self.kept:
                self.world.state[name] = self.kept[name]
        self.world.observe()
        self.broken += self.world.broken()

    def finish(self) -> None:
        """Run operations, always the first that is ready, until the `up` is complete or has failed. When the `up` waits
        for the owner of the release, the owner rolls out what was handed over."""
        while not self.complete:
            possible = self.ready()
            if possible:
                self.advance(possible[0])
            elif self._awaits_owner():
                owner_rolls_out(self.world)
                self.broken += self.world.broken()
            else:
                self.stop()
                return

    def stop(self) -> None:
        """Kill the `up`. Helm's unfinished upgrade is rolled back, now or by `recover`; until then the pods may be of
        both versions."""
        for running in self.running.values():
            running.close()  # type: ignore[attr-defined]
        self.running.clear()
        self.world.observe()
        self.broken += self.world.broken()

    # What is to be done.

    def _add(self, name: str, waits: set[str], operation: Operation, *, kept: bool | None = None) -> None:
        self.waits[name], self.operations[name] = waits, operation
        if kept is not None:
            self.kept[name] = kept

    def _plan(self) -> None:
        configuration, settings = self.configuration, self.settings
        namespace: set[str] = set()
        if configuration.create_namespace:
            namespace = {NAMESPACE}
            self._add(NAMESPACE, set(), _namespace, kept=configuration.keep_namespace)
        step = authority_step(settings)
        own = {} if step is None else {generation: f"certificates-ca-{generation}" for generation in step.existing}
        for generation, name in own.items():
            self._add(name, set(), lambda world, number=generation: _authority(world, number), kept=False)  # type: ignore[misc]
        trusted = set() if step is None else {own[generation] for generation in step.trusted}
        if configuration.mode == "generated":
            assert step is not None
            self._add(SERVER, {own[step.signing]}, self._server)
            self._add(PAIR, {SERVER, *namespace}, self._pair, kept=False)
            served = PAIR
        else:
            self._add(ISSUED, set(namespace), self._issued)
            served = ISSUED
        used = self._database(namespace)
        graph = {used}
        if configuration.enabled:
            self._add(RELEASE, {served, used, ACCESS}, self._release)
            self.kept[f"{RELEASE} {configuration.release}"] = False
            graph = {RELEASE}
        gone_over = self._teleport(graph if configuration.enabled else set(), trusted)
        secrets = {used, *({served} & {PAIR})}
        self._add(LOGINS, {ACCESS, *(graph if configuration.enabled else secrets | gone_over)}, self._retire)
        self._add(LEDGER, set(self.waits), self._record)
        given_up = [name for name in self.world.state if name not in self.kept]
        last = LEDGER
        # The engine deletes last, and deletes dependants first: releases before what their pods mount.
        for name in sorted(given_up, key=lambda name: (not name.startswith(RELEASE), name == NAMESPACE, name)):
            self._add(f"delete {name}", {last}, lambda world, gone=name: _delete(world, gone))  # type: ignore[misc]
            last = f"delete {name}"

    def _database(self, namespace: set[str]) -> str:
        """Add the database's operations. Returns the one after which pods find their URI."""
        configuration = self.configuration
        slot = active_slot(configuration.rotation)
        before = set(namespace)
        if configuration.authentication == "password":
            for letter, wanted in slot_passwords(configuration.rotation).items():
                name = f"database-access-login-{letter}"
                self._add(name, set(), lambda world, one=letter, want=wanted: _password(world, one, *want), kept=False)  # type: ignore[misc]
            before.add(f"database-access-login-{slot}")
        self._add(ACCESS, before, self._login)
        suffix = "-iam" if configuration.authentication == "iam" else ""
        name = f"credentials-postgres{suffix}"
        self._add(name, {ACCESS, *namespace}, self._uri_secret, kept=False)
        return name

    def _teleport(self, graph: set[str], trusted: set[str]) -> set[str]:
        """Add the operations on Teleport's side. Returns their names."""
        configuration = self.configuration
        authorities = {AUTHORITIES} if configuration.enabled else set()
        if configuration.enabled:
            self._add(AUTHORITIES, graph | trusted, self._config_map)
        own: set[str] = set()
        if configuration.owner == "release":
            self._add(AUTH, graph | trusted | authorities if configuration.enabled else set(), self._auth)
            self.kept[AUTH] = configuration.adopt
            own, last = {AUTH}, AUTH
        else:
            self._add(HAND_OVER, graph | trusted | authorities if configuration.enabled else set(), self._hand_over)
            self._add(ROLLOUT, {HAND_OVER, *trusted}, self._rolled_out)
            own, last = {HAND_OVER, ROLLOUT}, ROLLOUT
        if configuration.enabled:
            self._add(PROXIES, {last, *trusted}, _nothing)
            return own | {AUTHORITIES, PROXIES}
        self._add(AUTHORITIES, trusted | own, self._config_map)
        return own | {AUTHORITIES}

    # What the program wants.

    def _bundle(self, *, planned: bool = False) -> str:
        """The bundle of the authorities that exist. With `planned`, it also has those that this `up` would make."""
        step = authority_step(self.settings)
        own = self.world.authorities
        pems_ = [
            own[generation].pem if generation in own else authority(_subject(generation), -1 - generation)
            for generation in (() if step is None else step.trusted)
            if planned or generation in own
        ]
        return bundle_of((*pems_, *(one.pem for one in self.intake.trust_bundle)))

    def _uri(self) -> Uri:
        configuration = self.configuration
        login = login_of(authentication=configuration.authentication, rotation=configuration.rotation)
        if configuration.authentication == "iam":
            return Uri(login, None)
        return Uri(login, self.world.passwords[active_slot(configuration.rotation)].value)

    def _host(self) -> str:
        return self.settings.endpoint_of(TELEPORT_CLUSTER).rpartition(":")[0]

    def _auth_template(self) -> AuthTemplate:
        return AuthTemplate(self._host(), self._bundle()) if self.configuration.enabled else AuthTemplate(None, "")

    # What it does.

    def _server(self, world: World) -> Iterator[None]:
        step = authority_step(self.settings)
        assert step is not None
        signer, names = world.authorities[step.signing], frozenset(self.settings.certificate_names or ())
        # The certificate of the signing authority is an input of the leaf: renewing the authority renews the leaf too.
        made_of = (signer.key, signer.renewal, names)
        if world.leaf is None or world.leaf_due or world.jobs.get(SERVER) != made_of:
            world.leaf, world.leaf_due = Leaf(identity(signer.pem), names, world.fresh()), False
            world.jobs[SERVER] = made_of
        yield from ()

    def _pair(self, world: World) -> Iterator[None]:
        assert world.leaf is not None
        world.secrets[TLS_SECRET_NAME] = world.leaf
        yield from ()

    def _issued(self, world: World) -> Iterator[None]:
        names, now = frozenset(self.settings.certificate_names or ()), world.secrets.get(ISSUED_SECRET_NAME)
        if not isinstance(now, Leaf) or now.names != names:
            world.secrets[ISSUED_SECRET_NAME] = Leaf(world.issuer, names, world.fresh())
        yield from ()

    def _login(self, world: World) -> Iterator[None]:
        uri = self._uri()
        if world.jobs.get(ACCESS) != uri:
            world.logins[uri.login] = uri.password
            world.runs += 1
            world.jobs[ACCESS] = uri
        yield from ()

    def _uri_secret(self, world: World) -> Iterator[None]:
        world.secrets[self._database_secret()] = self._uri()
        yield from ()

    def _database_secret(self) -> str:
        return f"postgres-{self.configuration.authentication}"

    def _release(self, world: World) -> Iterator[None]:
        settings, uri = self.settings, self._uri()
        name, before = self.configuration.release, world.graphs.get(self.configuration.release)
        generated = self.configuration.mode == "generated"
        template = GraphTemplate(
            tls_secret=TLS_SECRET_NAME if generated else ISSUED_SECRET_NAME,
            database_secret=self._database_secret(),
            accepted=frozenset(one.fingerprint for found in self.accepted.values() for one in found),
            # A Secret that cert-manager fills is not in the checksum: the restarter rolls the pods when it changes.
            # `runs` counts: every run of the Job changes the checksum, whatever that run made.
            checksum=(uri, world.runs, world.leaf if generated else None),
        )
        if before is not None and before.template == template:
            return
        host = service_host(name, settings.access_graph.namespace, settings.access_graph.cluster_domain)
        graph = Graph(host, template) if before is None else replace(before, template=template)
        world.graphs[name] = graph
        try:
            yield
        except GeneratorExit:
            if before is None:
                del world.graphs[name]
            else:
                world.graphs[name] = replace(world.graphs[name], template=before.template)
            raise
        world.roll_graph(name)
        world.state[f"{RELEASE} {name}"] = False

    def _retire(self, world: World) -> Iterator[None]:
        uri = self._uri()
        wanted = (uri.login, world.runs)
        if world.jobs.get(LOGINS) != wanted:
            world.logins = {login: password for login, password in world.logins.items() if login == uri.login}
            world.jobs[LOGINS] = wanted
        yield from ()

    def _config_map(self, world: World) -> Iterator[None]:
        world.config_map = self._bundle()
        yield from ()

    def _auth(self, world: World) -> Iterator[None]:
        before, world.auth = world.auth, self._auth_template()
        world.handed_over = None
        if world.auth == before:
            world.teleport_exists = True
            return
        try:
            yield
        except GeneratorExit:
            world.auth = before
            raise
        world.teleport_exists = True
        world.roll_auth()

    def _hand_over(self, world: World) -> Iterator[None]:
        template = self._auth_template()
        if world.handed_over != template:
            world.handed_over, world.hand_overs = template, world.hand_overs + 1
        yield from ()

    def _rolled_out(self, world: World) -> Iterator[None]:
        world.jobs[ROLLOUT] = (world.handed_over, world.hand_overs)
        yield from ()

    def _awaits_owner(self) -> bool:
        """Whether the `up` waits for the owner to roll out. A Job that already ran for this hand-over does not run
        again."""
        world = self.world
        if world.handed_over is None or world.jobs.get(ROLLOUT) == (world.handed_over, world.hand_overs):
            return False
        return world.handed_over != world.auth

    def _record(self, world: World) -> Iterator[None]:
        trust = trust_of(self.settings, identities(self._bundle()))
        found = ledger_content(self.settings, pems(self.accepted), trust, self.before)
        recorded: Mapping[str, object] = json.loads(json.dumps(found))
        world.ledger = recorded
        yield from ()


def owner_rolls_out(world: World) -> None:
    """Another owner's Helm upgrade, followed by a restart of the proxies."""
    assert world.handed_over is not None
    world.auth = world.handed_over
    world.observe()
    world.roll_auth()


def restarter_looks(world: World) -> None:
    """The restarter rolls TAG's pods after cert-manager has filled their Secret."""
    for name, graph in world.graphs.items():
        if graph.template.tls_secret == ISSUED_SECRET_NAME:
            world.roll_graph(name)


def _nothing(world: World) -> Iterator[None]:
    yield from ()


def _namespace(world: World) -> Iterator[None]:
    world.namespace_exists = True
    yield from ()


def _subject(generation: int) -> str:
    return f"Teleport Access Graph CA {generation}"


def _authority(world: World, generation: int) -> Iterator[None]:
    there = world.authorities.get(generation)
    if there is None:
        key = world.fresh()
        world.authorities[generation] = Authority(authority(_subject(generation), key), key)
    elif there.due:
        renewal = there.renewal + 1
        pem = authority(_subject(generation), there.key, renewal)
        world.authorities[generation] = Authority(pem, there.key, renewal)
    yield from ()


def _password(world: World, slot: str, generation: int, settled: bool) -> Iterator[None]:
    there = world.passwords.get(slot)
    if there is None or (there.keeper != generation and not settled):
        world.passwords[slot] = Password(generation, world.fresh())
    yield from ()


def _delete(world: World, name: str) -> Iterator[None]:
    kept = world.state.pop(name)
    if kept:
        return
    if name.startswith(RELEASE):
        world.graphs.pop(name.removeprefix(f"{RELEASE} "), None)
    elif name == AUTH:
        world.auth_runs = False
    elif name == NAMESPACE:
        world.secrets.clear()
        world.namespace_exists = False
    elif name == PAIR:
        world.secrets.pop(TLS_SECRET_NAME, None)
    elif name.startswith("credentials-postgres"):
        world.secrets.pop("postgres-iam" if name.endswith("-iam") else "postgres-password", None)
    elif name.startswith("database-access-login-"):
        world.passwords.pop(name[-1], None)
    elif name.startswith("certificates-ca-"):
        world.authorities.pop(int(name.removeprefix("certificates-ca-")), None)
    yield from ()
