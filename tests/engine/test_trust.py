"""Trust is renewed without an outage: certificates, authorities and host CAs change, and no call of Teleport fails.

The tests of this module are one story on a sandbox of its own: each begins where the one before it ended. During the
whole story a prober calls TAG as the running auth would, and each test checks the calls of its own time.
"""

from __future__ import annotations

import base64
import datetime
import json
import os
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from components.proxy_export import fetch_from_proxy
from operations.address_book import AddressBook
from sandbox.existing_teleport import CLUSTER
from sandbox.home import CHECKOUT
from sandbox.kubelet.claims import claim_path
from sandbox.workloads import host_rotation
from sandbox.workloads.certificates import certificates_in, fingerprint
from sandbox.workloads.host_authority import IDENTITY, create_authority
from tests.engine.conftest import RunningSandbox, started_sandbox
from tests.engine.prober import PhaseReport, Prober

pytestmark = pytest.mark.engine

PREFIX = "teleport-access-graph:"
NAMESPACE = "teleport-access-graph"
QUIET = ("same", "read")
# Short lives: the certificate's renewal window opens an hour after it is issued, the authority's after a day.
LIVES = {
    "certificateValidityHours": 2,
    "certificateEarlyRenewalHours": 1,
    "caValidityHours": 48,
    "caEarlyRenewalHours": 24,
}
DEPLOYMENTS = {
    "tag": (NAMESPACE, "teleport-access-graph", "app.kubernetes.io/name=teleport-access-graph"),
    "auth": ("teleport", "teleport-auth", "app.kubernetes.io/component=auth"),
    "proxy": ("teleport", "teleport-proxy", "app.kubernetes.io/component=proxy"),
}


@dataclass(frozen=True)
class Story:
    """The sandbox, the prober that calls TAG all the time, and what the tests do with both."""

    sandbox: RunningSandbox
    prober: Prober
    host_cas: Path
    """The file that `hostAuthorities.path` names."""

    @property
    def data(self) -> Path:
        """Auth's data directory."""
        return claim_path(self.sandbox.home.kubelet, "teleport", "teleport")

    def settings(self, change: Callable[[dict[str, Any]], None]) -> None:
        """Edits the stack's configuration as a person would; `change` gets the settings without their namespace."""
        document = yaml.safe_load(self.sandbox.configuration.read_text())
        plain = {key.removeprefix(PREFIX): value for key, value in document["config"].items()}
        change(plain)
        document["config"] = {PREFIX + key: value for key, value in plain.items()}
        self.sandbox.configuration.write_text(yaml.safe_dump(document, sort_keys=False))

    def host_authorities(self, **settings: Any) -> None:
        self.settings(lambda plain: plain["teleport"][CLUSTER].update(hostAuthorities=settings))

    def authority(self, generation: int, phase: str) -> None:
        self.settings(lambda plain: plain["tls"].update(authority={"generation": generation, "phase": phase}))

    def up(self) -> str:
        return self.sandbox.pulumi("up").stdout

    def refused(self, command: str = "preview") -> str:
        done = self.sandbox.pulumi(command, check=False)
        assert done.returncode != 0, done.stdout
        return done.stdout + done.stderr

    def is_quiet(self) -> bool:
        """Whether `preview --expect-no-changes`, which a scheduled job runs, passes."""
        return self.sandbox.pulumi("preview", "--expect-no-changes", check=False).returncode == 0

    def pods(self) -> dict[str, set[str]]:
        """Component -> names of its pods, once every roll-out is over. A pod that is replaced gets another name."""
        found = {}
        for component, (namespace, deployment, selector) in DEPLOYMENTS.items():
            self.sandbox.kubectl(
                "rollout", "status", f"deployment/{deployment}", "--namespace", namespace, "--timeout=180s"
            )
            pods = self.sandbox.get("pods", "--namespace", namespace, "--selector", selector)["items"]
            found[component] = {pod["metadata"]["name"] for pod in pods if "deletionTimestamp" not in pod["metadata"]}
        return found

    @contextmanager
    def restarting(self, *components: str) -> Iterator[None]:
        """Checks that afterwards all pods of these components, and none of the others, have been replaced."""
        before = self.pods()
        yield
        after = self.pods()
        assert {name for name in before if not before[name] & after[name]} == set(components)
        assert {name for name in before if before[name] == after[name]} == set(before) - set(components)

    @contextmanager
    def without_a_failed_call(self, phase: str) -> Iterator[None]:
        with self.prober.during(phase):
            yield
        self.answered(phase)

    def answered(self, phase: str) -> PhaseReport:
        report = self.prober.report().phases[phase]
        assert report.failures == (), "\n".join(map(str, report.failures))
        # No failures prove nothing unless there were calls during the whole phase.
        assert report.calls > report.seconds, report
        assert report.longest_gap < 5, report
        return report

    def age(self, resource: str, by: datetime.timedelta) -> None:
        """Moves the recorded life of a certificate into the past, as time would."""
        state = json.loads(self.sandbox.pulumi("stack", "export").stdout)
        (found,) = [one for one in state["deployment"]["resources"] if one["urn"].endswith(f"::{resource}")]
        for key in ("validityStartTime", "validityEndTime"):
            moved = datetime.datetime.fromisoformat(found["outputs"][key].replace("Z", "+00:00")) - by
            found["outputs"][key] = moved.strftime("%Y-%m-%dT%H:%M:%SZ")
        file = self.sandbox.home.stack / "aged.json"
        file.write_text(json.dumps(state))
        self.sandbox.pulumi("stack", "import", "--file", str(file))

    def replacements(self) -> dict[str, list[str]]:
        """Name of each resource that a preview replaces -> the reasons."""
        steps = self.sandbox.preview()["steps"]
        return {
            step["urn"].rsplit("::", 1)[1]: step.get("replaceReasons") or []
            for step in steps
            if step["op"] == "replace"
        }

    def bundle(self) -> list[str]:
        """Fingerprints of the authorities that Teleport is told to trust."""
        found = self.sandbox.get("configmap", "teleport-access-graph-ca", "--namespace", "teleport")["data"]["ca.pem"]
        return [fingerprint(der) for der in certificates_in(found)]

    def certificate(self) -> str:
        """Fingerprint of the server certificate in the Secret."""
        data = self.sandbox.get("secret", "teleport-access-graph-tls", "--namespace", NAMESPACE)["data"]
        return fingerprint(certificates_in(base64.b64decode(data["tls.crt"]).decode())[0])

    def rotate(self, phase: str) -> None:
        """Moves the rotation of Teleport's host CA to `phase`, and waits until auth has followed."""
        signer = self._identity_signer()
        host_rotation.rotate(self.data, CLUSTER, phase)
        moves = {"init": False, "update_clients": True, "update_servers": False, "rollback": True, "standby": False}
        deadline = time.monotonic() + 180
        while moves[phase] and self._identity_signer() == signer:
            assert time.monotonic() < deadline, f"auth has no certificate of the CA that is active in {phase}"
            time.sleep(0.2)

    def write_host_cas(self) -> None:
        """Writes the active and the additional keys, as `tctl get cert_authorities --format=json > ...` does."""
        self.host_cas.write_text(host_rotation.listing(self.data, CLUSTER))

    def host_ca_prints(self) -> list[str]:
        found: list[str] = self.sandbox.outputs()["hostAuthorityFingerprints"][CLUSTER]
        return found

    def active_host_ca(self) -> str:
        (path,) = (self.data / "authorities" / "active").glob("*.pem")
        return fingerprint(certificates_in(path.read_text())[0])

    def _identity_signer(self) -> bytes:
        """Key identifier of the CA that signed auth's host certificate."""
        certificate = x509.load_pem_x509_certificate((self.data / IDENTITY).read_bytes())
        identifier = certificate.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value.key_identifier
        assert identifier is not None
        return identifier


@pytest.fixture(scope="module")
def story(request: pytest.FixtureRequest) -> Iterator[Story]:
    """The whole stack with short-lived certificates and two replicas of TAG, under the prober; counts are printed at
    the end."""
    with started_sandbox() as sandbox:
        document = yaml.safe_load(sandbox.configuration.read_text())
        document["config"][f"{PREFIX}tls"].update(LIVES)
        sandbox.configuration.write_text(yaml.safe_dump(document, sort_keys=False))
        sandbox.pulumi("up")
        file = sandbox.home.stack / "host-authorities.json"
        with Prober(sandbox.home) as prober:
            yield Story(sandbox, prober, file)
            report = prober.report()
        capture: Any = request.config.pluginmanager.getplugin("capturemanager")
        with capture.global_and_fixture_disabled():
            print(f"\n{report}")


def test_calls_are_answered_by_both_replicas_while_nothing_changes(story: Story) -> None:
    assert len(story.pods()["tag"]) == 2
    with story.without_a_failed_call("at rest"):
        assert story.is_quiet()
    report = story.prober.report().phases["at rest"]
    assert report.served == {story.certificate()}
    assert len(report.answered_by) == 2


def test_a_leaf_is_renewed_by_a_plain_up_when_it_is_due_and_not_before(story: Story) -> None:
    with story.without_a_failed_call("leaf renewal"):
        before = story.certificate()
        story.age("certificates-server", datetime.timedelta(minutes=40))
        assert story.is_quiet()
        story.age("certificates-server", datetime.timedelta(minutes=25))
        assert not story.is_quiet()
        assert story.replacements() == {"certificates-server": ["readyForRenewal"]}
        with story.restarting("tag"):
            story.up()
        assert story.certificate() != before
        assert story.is_quiet()
    assert story.prober.report().phases["leaf renewal"].served == {before, story.certificate()}


def test_an_authority_is_renewed_with_its_key_when_it_is_due(story: Story) -> None:
    with story.without_a_failed_call("authority renewal"):
        before, key = story.bundle(), _key_of(story)
        story.age("certificates-ca-1", datetime.timedelta(hours=23))
        assert story.is_quiet()
        story.age("certificates-ca-1", datetime.timedelta(hours=2))
        assert not story.is_quiet()
        assert story.replacements()["certificates-ca-1"] == ["readyForRenewal"]
        # TAG restarts because the new authority signs its certificate, the others because the bundle has changed.
        with story.restarting("tag", "auth", "proxy"):
            story.up()
        assert len(story.bundle()) == 1
        assert story.bundle() != before
        assert _key_of(story) == key
        assert story.is_quiet()


def test_a_step_out_of_order_is_refused_with_the_step_that_the_stack_is_in(story: Story) -> None:
    with story.without_a_failed_call("steps out of order"):
        for phase in ("switch", "retire", "stable"):
            story.authority(2, phase)
            text = story.refused()
            assert "the stack is in phase stable of generation 1, the last one that an `up` completed" in text
            assert "or phase introduce of generation 2, the next one" in text
        story.authority(1, "stable")
        assert story.is_quiet()


def test_the_next_authority_joins_the_bundle(story: Story) -> None:
    with story.without_a_failed_call("introduce"):
        before, served = story.bundle(), story.certificate()
        story.authority(2, "introduce")
        with story.restarting("auth", "proxy"):
            story.up()
        assert story.bundle()[0] == before[0]
        assert len(story.bundle()) == 2
        assert story.certificate() == served
        assert story.is_quiet()
    assert all(len(certificates_in(bundle or "")) == 2 for bundle in story.prober.bundles())
    story.authority(2, "retire")
    assert "the stack is in phase introduce of generation 2" in story.refused()


def test_a_switch_that_fails_halfway_costs_no_call_and_may_be_taken_back_or_repeated(story: Story) -> None:
    """The Secret has the next authority's certificate when TAG's release fails."""
    served = story.certificate()
    with story.without_a_failed_call("switch that fails"):
        story.authority(2, "switch")
        absent = {"image": "registry.example.com/absent", "timeoutSeconds": 30}
        story.settings(lambda plain: plain["accessGraph"].update(absent))
        story.refused("up")
        assert story.certificate() != served
        recorded = story.sandbox.outputs()["ledger"]["authority"]
        assert (recorded["generation"], recorded["phase"]) == (2, "introduce")
    # If a node is drained now, its replica comes back with the certificate of the failed step.
    with story.without_a_failed_call("replica replaced after a failed switch"):
        name = sorted(story.pods()["tag"])[0]
        story.sandbox.kubectl("delete", "pod", name, "--namespace", NAMESPACE, "--wait=true")
        story.pods()
    story.settings(lambda plain: plain["accessGraph"].update(timeoutSeconds=300))
    story.settings(lambda plain: plain["accessGraph"].pop("image"))
    with story.without_a_failed_call("switch taken back"):
        story.authority(2, "introduce")
        with story.restarting("tag"):
            story.up()
        assert story.is_quiet()


def test_the_leaf_moves_to_the_next_authority(story: Story) -> None:
    with story.without_a_failed_call("switch"):
        story.authority(2, "switch")
        with story.restarting("tag"):
            story.up()
        assert story.is_quiet()
    story.authority(1, "stable")
    assert "is an earlier step, and what was trusted then may not be trusted any more" in story.refused("up")


def test_the_former_authority_leaves_the_bundle_and_then_the_stack(story: Story) -> None:
    with story.without_a_failed_call("retire"):
        story.authority(2, "retire")
        with story.restarting("auth", "proxy"):
            story.up()
        assert len(story.bundle()) == 1
    with story.without_a_failed_call("stable again"):
        story.authority(2, "stable")
        with story.restarting():
            story.up()
        assert story.is_quiet()


def test_the_same_host_ca_in_another_form_is_no_change(story: Story) -> None:
    with story.without_a_failed_call("host CA as JSON"):
        story.write_host_cas()
        story.host_authorities(mode="file", path=_relative(story))
        assert story.is_quiet()


def test_a_host_ca_rotation_with_rollback_costs_no_call(story: Story) -> None:
    first = story.active_host_ca()
    with story.without_a_failed_call("host CA: init"):
        story.rotate("init")
        story.write_host_cas()
        preview = story.sandbox.pulumi("preview").stdout
        assert "this changes the host CAs that TAG accepts" in preview
        with story.restarting("tag"):
            story.up()
        assert len(story.host_ca_prints()) == 2
        (second,) = set(story.host_ca_prints()) - {first}
        assert f"+ {second} CN={CLUSTER},O={CLUSTER}" in preview
    with story.without_a_failed_call("host CA: update_clients"):
        story.rotate("update_clients")
        assert story.active_host_ca() == second
        story.write_host_cas()
        assert story.is_quiet()
        _wait_for_calls(story, 60)
    with story.without_a_failed_call("host CA: rollback"):
        story.rotate("rollback")
        assert story.active_host_ca() == first
        _wait_for_calls(story, 60)
    with story.without_a_failed_call("host CA: standby after rollback"):
        story.rotate("standby")
        story.write_host_cas()
        # The CA stays until the settings say that it may go, and each preview says so.
        assert story.is_quiet()
        assert "set former to drop" in story.sandbox.pulumi("preview").stdout
        story.host_authorities(mode="file", path=_relative(story), former="drop")
        assert f"- {second} CN={CLUSTER},O={CLUSTER}" in story.sandbox.pulumi("preview").stdout
        with story.restarting("tag"):
            story.up()
        assert story.host_ca_prints() == [first]


def test_a_host_ca_rotation_to_its_end_costs_no_call(story: Story) -> None:
    first = story.active_host_ca()
    story.host_authorities(mode="file", path=_relative(story))
    with story.without_a_failed_call("host CA again: init"):
        story.rotate("init")
        story.write_host_cas()
        with story.restarting("tag"):
            story.up()
    with story.without_a_failed_call("host CA again: update_clients to standby"):
        story.rotate("update_clients")
        _wait_for_calls(story, 60)
        story.rotate("update_servers")
        story.rotate("standby")
        story.write_host_cas()
        assert story.is_quiet()
    with story.without_a_failed_call("host CA again: former dropped"):
        assert first in story.host_ca_prints()
        story.host_authorities(mode="file", path=_relative(story), former="drop")
        with story.restarting("tag"):
            story.up()
        assert story.host_ca_prints() == [story.active_host_ca()] != [first]
        story.host_authorities(mode="file", path=_relative(story))
        assert story.is_quiet()


def test_the_host_ca_of_a_rebuilt_cluster_is_refused_until_it_is_confirmed(story: Story, tmp_path: Path) -> None:
    create_authority(tmp_path / "0001.pem", CLUSTER)
    stranger = certificates_in((tmp_path / "0001.pem").read_text())[0]
    with story.without_a_failed_call("stranger refused"):
        story.host_cas.write_text(ssl.DER_cert_to_PEM_cert(stranger))
        text = story.refused("up")
        assert "has none of the host CAs that TAG accepts now" in text
        assert f"set fingerprints to [{fingerprint(stranger)}]" in text
        story.host_authorities(mode="file", path=_relative(story), fingerprints=[fingerprint(stranger)])
        assert f"+ {fingerprint(stranger)} " in story.sandbox.pulumi("preview").stdout
        story.write_host_cas()
        story.host_authorities(mode="file", path=_relative(story))
        assert story.is_quiet()


def test_a_rotation_with_proxy_intake_has_a_gap_until_the_next_up(story: Story, tmp_path: Path) -> None:
    """Calls fail from update_clients on, until an `up` with the new CA's pin. The gap is a phase of its own in the
    prober's report."""
    former = story.active_host_ca()
    with _forwarded_proxy(story) as port:
        (tmp_path / "web.pem").write_text(ssl.get_server_certificate(("localhost", port)))
        source: dict[str, Any] = {
            "mode": "proxy",
            "address": f"localhost:{port}",
            "caFile": _relative(story, tmp_path / "web.pem"),
        }
        story.host_authorities(**source)
        preview = story.sandbox.pulumi("preview", "--expect-no-changes").stdout
        assert "refuses its calls from phase update_clients on, until the next `up`" in preview
        assert f"{former}  CN={CLUSTER},O={CLUSTER}" in preview
        with story.without_a_failed_call("proxy intake: init"):
            story.rotate("init")
            assert story.is_quiet()
        story.prober.enter("proxy intake: gap")
        story.rotate("update_clients")
        new = story.active_host_ca()
        _wait_for_export(port, tmp_path / "web.pem", new)
        assert "has none of the host CAs that TAG accepts now" in story.refused()
        source["fingerprints"] = [new]
        story.host_authorities(**source)
        with story.restarting("tag"):
            story.up()
        with story.without_a_failed_call("proxy intake: after the up"):
            assert story.host_ca_prints() == sorted([former, new])
            story.rotate("update_servers")
            story.rotate("standby")
            assert story.is_quiet()
    gap = story.prober.report().phases["proxy intake: gap"]
    assert gap.failures
    # UNKNOWN_CA is TAG's TLS alert for a host CA that it does not know.
    assert [failure for failure in gap.failures if "UNKNOWN_CA" not in failure.reason] == []


def test_no_call_failed_outside_of_the_gap_that_proxy_intake_has(story: Story) -> None:
    report = story.prober.report()
    assert {failure.phase for failure in report.failures} == {"proxy intake: gap"}
    assert report.calls > 1000


def _key_of(story: Story) -> bytes:
    """The public key of the first authority in the bundle, in DER."""
    found = story.sandbox.get("configmap", "teleport-access-graph-ca", "--namespace", "teleport")["data"]["ca.pem"]
    key = x509.load_pem_x509_certificate(found.encode()).public_key()
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _relative(story: Story, path: Path | None = None) -> str:
    """The path relative to the program's directory, as the configuration takes it."""
    return os.path.relpath(story.host_cas if path is None else path, CHECKOUT)


def _wait_for_calls(story: Story, count: int) -> None:
    """Waits until `count` more calls have begun; on an idle machine, 60 of them take three seconds."""
    start, deadline = story.prober.report().calls, time.monotonic() + 180
    while story.prober.report().calls < start + count:
        assert time.monotonic() < deadline, "the prober does not call any more"
        time.sleep(0.1)


@contextmanager
def _forwarded_proxy(story: Story) -> Iterator[int]:
    """A port of localhost that forwards to Teleport's web proxy, as a load balancer with a DNS name would."""
    (address, *_) = AddressBook(path=story.sandbox.home.names).resolve("teleport.teleport.svc.cluster.local", 443)
    server = socket.create_server(("127.0.0.1", 0))

    def accept() -> None:
        while True:
            try:
                client, _ = server.accept()
            except OSError:
                return  # closed: the test is over
            upstream = socket.create_connection(address, 10)
            for source, target in ((client, upstream), (upstream, client)):
                threading.Thread(target=_pipe, args=(source, target), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield int(server.getsockname()[1])
    finally:
        server.close()


def _pipe(source: socket.socket, target: socket.socket) -> None:
    try:
        while received := source.recv(65536):
            target.sendall(received)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        pass  # one end is gone, and with it the connection


def _wait_for_export(port: int, ca_file: Path, wanted: str) -> None:
    """Waits until the proxies export the CA `wanted`."""
    deadline = time.monotonic() + 180
    while fingerprint(certificates_in(fetch_from_proxy(f"localhost:{port}", ca_file))[0]) != wanted:
        assert time.monotonic() < deadline, "the proxy still exports the former host CA"
        time.sleep(0.2)
