"""The life of this part: starts in order, reports when ready, stops everything at SIGTERM, resumes after a kill."""

from __future__ import annotations

import fcntl
import logging
import os
import signal
import threading
from pathlib import Path
from typing import IO

from sandbox.cloud import landing_zone, neighbours, pod_identity, rds, web_identity
from sandbox.cloud.api import Application, RequestLog, listen
from sandbox.cloud.api_state import ApiState, set_state
from sandbox.cloud.authority import RdsAuthority
from sandbox.cloud.database_login import IamLogins
from sandbox.cloud.files import read_json, write_json
from sandbox.cloud.fleet import Fleet, stop_leftovers
from sandbox.cloud.pod_identity_agent import AgentServer, PodIdentityAgent
from sandbox.cloud.programs import Place, remove_place
from sandbox.cloud.saved_state import Saver, load
from sandbox.home import Home

log = logging.getLogger(__name__)

READY = "cloud.ready.json"
STATE = "api-state.pickle"
ENDPOINT = "endpoint.json"
LOCK = "lock"

POD_IDENTITY = "pod-identity.json"
"""In `<home>/run`: the URL where pods get credentials by EKS Pod Identity, and the ServiceAccounts whose pods do."""

API_HOST_IN_NETWORK = "201.1"
AGENT_HOST_IN_NETWORK = "201.2"
# The usual port of local AWS stand-ins; any other works as well.
FIRST_PORT = 4566


class CannotStart(Exception):
    """Why the part does not run; the text says what to do."""


class CloudService:
    def __init__(self, home: Home, signing_keys: web_identity.SigningKeys | None = None):
        self._home = home
        self._signing_keys = signing_keys or web_identity.ClusterKeys(home.kubeconfig)
        self._stop = threading.Event()

    def run(self) -> None:
        """Serve until SIGTERM or SIGINT. Raises CannotStart."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self._stop.set())
        home = self._home
        home.cloud.mkdir(mode=0o700, parents=True, exist_ok=True)
        for directory in (home.run, home.logs, home.names):
            directory.mkdir(parents=True, exist_ok=True)
        with open(home.cloud / LOCK, "w") as lock_file:
            _lock(lock_file, home.cloud / LOCK)
            self._serve(_prefix(home))

    def _serve(self, prefix: str) -> None:
        home = self._home
        ready = home.run / READY
        ready.unlink(missing_ok=True)
        lock = threading.RLock()
        authority = RdsAuthority.at(home.cloud, landing_zone.REGION)
        place = Place.prepare(home.cloud)
        logins = IamLogins(landing_zone.ACCOUNT, landing_zone.REGION, lock)
        fleet = Fleet(place, home.cloud, home.names, home.logs, authority, prefix, rds.report, logins.check)
        saver = Saver(home.cloud / STATE)
        set_state(ApiState(lock, fleet, saver))
        rds.install()
        web_identity.install()
        neighbours.install()
        ports = read_json(home.cloud / ENDPOINT, {})
        agent = AgentServer(
            f"{prefix}.{AGENT_HOST_IN_NETWORK}",
            ports.get("agentPort", 0),
            PodIdentityAgent(web_identity.ClusterTokens(self._signing_keys), lock),
        )
        pod_identity.install(pod_identity.Publication(home.run / POD_IDENTITY, agent.url))
        load(home.cloud / STATE)
        application = Application(
            web_identity.Gate(landing_zone.ACCOUNT, self._signing_keys),
            lock,
            saver,
            RequestLog(home.logs / "aws-requests.jsonl"),
        )
        address = f"{prefix}.{API_HOST_IN_NETWORK}"
        server = listen(address, ports.get("port", FIRST_PORT), application)
        serving = threading.Thread(target=server.serve_forever, name="api", daemon=True)
        agent.start()
        try:
            url = f"http://{address}:{server.server_port}"
            write_json(home.cloud / ENDPOINT, {"port": server.server_port, "agentPort": agent.server_port})
            serving.start()
            with lock:
                pod_identity.associations().publish()
                rds.resume()
            zone = landing_zone.ensure(url)
            write_json(
                ready,
                {
                    "url": url,
                    "account": landing_zone.ACCOUNT,
                    "region": landing_zone.REGION,
                    "oidcProviderArn": zone.oidc_provider_arn,
                    "oidcIssuer": landing_zone.OIDC_ISSUER,
                    "eksClusterName": zone.cluster_name,
                    "vpcId": zone.vpc_id,
                    "subnetIds": zone.subnet_ids,
                    "clientSecurityGroupIds": [zone.client_security_group_id],
                    "rdsCaBundle": str(authority.bundle),
                    "requestLog": str(home.logs / "aws-requests.jsonl"),
                    "pid": os.getpid(),
                },
            )
            log.info("AWS's API of account %s is at %s", landing_zone.ACCOUNT, url)
            self._stop.wait()
            log.info("stopping")
        finally:
            ready.unlink(missing_ok=True)
            agent.shutdown()
            agent.server_close()
            server.shutdown()
            serving.join(timeout=5)
            server.server_close()
            fleet.close()


def remove(home: Home) -> None:
    """Delete everything the part ever made for this home, and kill what a killed run left. The part must not be
    running."""
    if not home.cloud.is_dir():
        return
    stop_leftovers(home.cloud)
    remove_place(home.cloud)


def _prefix(home: Home) -> str:
    prefix = read_json(home.run / "network.json", {}).get("prefix")
    if not prefix:
        raise CannotStart(
            f"{home.run / 'network.json'} is missing: it holds this sandbox's loopback network; start with `make up`"
        )
    return str(prefix)


def _lock(stream: IO[str], path: Path) -> None:
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        raise CannotStart(
            f"another cloud part already serves this home (it holds {path}); stop that one first"
        ) from None
