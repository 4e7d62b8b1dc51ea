"""The stack that the engine runs on the sandbox: its environment, configuration file and state.

Owns the calls of the engine. The program decides what is deployed; the other parts provide what it is deployed on.
"""

from __future__ import annotations

import json
import os
import secrets
import shlex
import shutil
import string
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from operations.checkpoint import cut_off
from sandbox.cloud import administrator
from sandbox.home import CHECKOUT, SECRET_FILE_MODE, Home
from sandbox.parts import NOBODYS_AWS, clean_environment, is_foreign
from sandbox.processes import identify
from sandbox.supervisor import SandboxError

PROJECT = "teleport-access-graph"
STACK = "sandbox"
TEMPLATE = CHECKOUT / "sandbox" / "Pulumi.sandbox.yaml.template"
_SALT = "encryptionsalt"
_OWNER_LINE = "# Sandbox: "

# Subcommands that read the stack's configuration and accept a file other than Pulumi.<stack>.yaml.
_READ_CONFIGURATION = frozenset({"up", "update", "preview", "pre", "destroy", "refresh", "import", "config", "watch"})


@dataclass(frozen=True)
class CloudFacts:
    """What the cloud part reports about itself."""

    url: str
    account: str
    region: str
    oidc_provider_arn: str
    vpc_id: str
    subnet_ids: tuple[str, ...]
    client_security_group_ids: tuple[str, ...]
    rds_authorities: Path

    @classmethod
    def parse(cls, ready: Mapping[str, Any]) -> CloudFacts:
        return cls(
            url=ready["url"],
            account=ready["account"],
            region=ready["region"],
            oidc_provider_arn=ready["oidcProviderArn"],
            vpc_id=ready["vpcId"],
            subnet_ids=tuple(ready["subnetIds"]),
            client_security_group_ids=tuple(ready["clientSecurityGroupIds"]),
            rds_authorities=Path(ready["rdsCaBundle"]),
        )


@dataclass(frozen=True)
class StackFacts:
    """The facts from which the configuration file is rendered; if any of them changes, the file is rendered anew."""

    cluster_identifier: str
    cloud: CloudFacts
    access_graph_chart: Path
    teleport_chart: Path
    teleport_values: Path
    host_authorities: Path


class Stack:
    """The stack `sandbox` of one home. `configuration` is its file, by default the checkout's Pulumi.sandbox.yaml."""

    def __init__(self, home: Home, configuration: Path | None = None, checkout: Path = CHECKOUT) -> None:
        self._home = home
        self._checkout = checkout
        self.configuration = configuration or checkout / f"Pulumi.{STACK}.yaml"

    def exports(self, cloud: CloudFacts | None) -> dict[str, str]:
        """The variables with which plain `pulumi`, `kubectl`, `helm`, `psql` and `aws` work on the sandbox."""
        home = self._home
        variables = {
            "SANDBOX_HOME": str(home.root),
            "KUBECONFIG": str(home.kubeconfig),
            # Otherwise kubectl and Helm cache a server's API in ~/.kube/cache.
            "KUBECACHEDIR": str(home.kube_cache),
            "HELM_CACHE_HOME": str(home.root / "helm" / "cache"),
            "HELM_CONFIG_HOME": str(home.root / "helm" / "config"),
            "HELM_DATA_HOME": str(home.root / "helm" / "data"),
            "PULUMI_HOME": str(home.pulumi),
            # The program reads its checkpoint while the engine writes it. The write is atomic, except for attributes
            # that the file backend would put beside it: reading them half written gives "failed to load checkpoint:
            # EOF".
            "PULUMI_BACKEND_URL": f"{home.state.as_uri()}?metadata=skip",
            "PULUMI_CONFIG_PASSPHRASE_FILE": str(home.passphrase),
            "PULUMI_STACK": STACK,
            "PULUMI_SKIP_UPDATE_CHECK": "true",
            # Otherwise a plugin is sought for every installed pulumi-* package, which costs seconds on a closed
            # network.
            "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
            "ACCESS_GRAPH_ADDRESS_BOOK": str(home.names),
        }
        if cloud:
            variables |= {
                "AWS_ENDPOINT_URL": cloud.url,
                "AWS_REGION": cloud.region,
                "AWS_ACCESS_KEY_ID": administrator.ACCESS_KEY_ID,
                "AWS_SECRET_ACCESS_KEY": administrator.SECRET_ACCESS_KEY,
                # Hides the user's profiles and the machine's own role.
                **NOBODYS_AWS,
                "AWS_EC2_METADATA_DISABLED": "true",
            }
        return variables

    def environment(self, cloud: CloudFacts | None) -> dict[str, str]:
        """A complete environment for a command that works on the sandbox."""
        return clean_environment(self._home) | self.exports(cloud)

    def shell_lines(self, cloud: CloudFacts | None) -> list[str]:
        """`export` and `unset` lines for a POSIX shell."""
        exports = self.exports(cloud)
        foreign = sorted(name for name in os.environ if is_foreign(name) and name not in exports)
        own_path = os.pathsep.join([str(self._home.bin), str(Path(sys.executable).parent)])
        return [
            *(f"unset {name}" for name in foreign),
            *(f"export {name}={shlex.quote(value)}" for name, value in exports.items()),
            f'export PATH={shlex.quote(own_path)}:"$PATH"',
        ]

    def write_configuration(self, facts: StackFacts) -> bool:
        """Render the file, unless it was rendered from the same facts; edits made since then are kept.

        True if it was written.
        """
        values = self._placeholders(facts)
        record = self._home.stack / "configuration.json"
        if self.configuration.exists() and _read_json(record) == values:
            return False
        self._refuse_another_sandbox()
        document = yaml.safe_load(string.Template(TEMPLATE.read_text()).substitute(values))
        document[_SALT] = self._salt()
        self.configuration.parent.mkdir(parents=True, exist_ok=True)
        # The record that the file is ours comes first: a run killed in between writes the file again.
        record.write_text(json.dumps(values, indent=2))
        header = "# Written by `make up`, removed by `make down`. Edits are kept until then.\n"
        header += f"{_OWNER_LINE}{self._home.root}\n"
        self.configuration.write_text(header + yaml.safe_dump(document, sort_keys=False))
        return True

    def initialise(self) -> None:
        """Create the passphrase, and the stack in the file backend, once."""
        home = self._home
        if not home.passphrase.exists():
            temporary = home.passphrase.with_suffix(".writing")
            temporary.unlink(missing_ok=True)
            with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, SECRET_FILE_MODE), "w") as file:
                file.write(secrets.token_urlsafe(32))
            temporary.replace(home.passphrase)
        if (home.stack / "salt").exists():
            return
        # `stack init` writes the salt to Pulumi.<stack>.yaml beside Pulumi.yaml, wherever the configuration file is. A
        # directory of its own protects the file of another sandbox in the same checkout.
        workspace = home.stack / "init"
        shutil.rmtree(workspace, ignore_errors=True)
        workspace.mkdir(parents=True)
        project = yaml.safe_load((self._checkout / "Pulumi.yaml").read_text())
        (workspace / "Pulumi.yaml").write_text(yaml.safe_dump({"name": project["name"], "runtime": "yaml"}))
        state = home.state / ".pulumi" / "stacks" / project["name"] / f"{STACK}.json"
        if state.exists():
            # A run was killed between the two files. Nothing has been deployed yet with a salt that is now lost.
            self._engine(["stack", "rm", "--force", "--yes", "--stack", STACK], workspace)
        self._engine(["stack", "init", STACK, "--secrets-provider", "passphrase"], workspace)
        rendered = yaml.safe_load((workspace / f"Pulumi.{STACK}.yaml").read_text())
        (home.stack / "salt.writing").write_text(rendered[_SALT])
        (home.stack / "salt.writing").replace(home.stack / "salt")

    def command(self, *arguments: str) -> list[str]:
        """The engine's command line, for this stack and its configuration file."""
        command = [str(self._home.bin / "pulumi"), *arguments]
        if arguments and arguments[0] in _READ_CONFIGURATION and not self._is_default_configuration():
            command += ["--config-file", str(self.configuration)]
        return command

    def run(self, *arguments: str, cloud: CloudFacts) -> int:
        """Run the engine in the checkout, with its output going where ours goes; returns its exit code.

        Raises SandboxError if it was killed.
        """
        with subprocess.Popen(self.command(*arguments), cwd=self._checkout, env=self.environment(cloud)) as engine:
            while True:
                try:
                    code = engine.wait()
                    break
                except KeyboardInterrupt:
                    # The terminal has interrupted the engine too. It finishes what it began, records it and unlocks the
                    # stack; at a second interrupt it ends at once.
                    continue
        if code < 0:
            raise SandboxError(
                f"the engine was killed by signal {-code}.\n  remedy: `make up` again mends what is half made"
            )
        return code

    def locked(self) -> bool:
        """Whether a killed engine left the stack locked. Raises SandboxError while an engine is at work on it."""
        locks = list((self._home.state / ".pulumi" / "locks").glob(f"**/{STACK}/*.json"))
        for lock in locks:
            process = identify(int((_read_json(lock) or {}).get("pid", 0)))
            if process and _is_engine(process.pid):
                raise SandboxError(
                    f"process {process.pid} of the engine is at work on the stack; wait for it to end, then try again"
                )
        return bool(locks)

    def repair_state(self) -> bool:
        """Repair files of the backend that a kill truncated. True if there were any."""
        found = list(cut_off(self._home.state / ".pulumi", PROJECT, STACK))
        for one in found:
            one.mend()
        return bool(found)

    def outputs(self, cloud: CloudFacts | None) -> dict[str, Any]:
        """The stack's plain outputs; empty before the first `up`."""
        done = subprocess.run(
            self.command("stack", "output", "--json"),
            cwd=self._checkout,
            env=self.environment(cloud),
            capture_output=True,
            text=True,
        )
        if done.returncode != 0:
            raise SandboxError(f"the engine cannot read the stack's outputs: {done.stderr.strip()}")
        outputs: dict[str, Any] = json.loads(done.stdout or "{}")
        return outputs

    def has_resources(self) -> bool:
        """Whether the recorded state contains anything to destroy."""
        for file in (self._home.state / ".pulumi" / "stacks").glob(f"*/{STACK}.json"):
            latest = (_read_json(file) or {}).get("checkpoint", {}).get("latest") or {}
            resources = latest.get("resources") or []
            return any(resource.get("type") != "pulumi:pulumi:Stack" for resource in resources)
        return False

    def remove_configuration(self) -> None:
        """Delete the file that `make up` wrote."""
        if (self._home.stack / "configuration.json").exists():
            self.configuration.unlink(missing_ok=True)

    def _refuse_another_sandbox(self) -> None:
        """Refuse another home's file: two homes in one checkout would otherwise overwrite each other's."""
        if not self.configuration.exists() or (self._home.stack / "configuration.json").exists():
            return
        lines = self.configuration.read_text().splitlines()
        owners = [line.removeprefix(_OWNER_LINE) for line in lines if line.startswith(_OWNER_LINE)]
        # If its home was removed by hand, the file belongs to nobody.
        if not owners or (Path(owners[0]).exists() and Path(owners[0]) != self._home.root):
            whose = f"the sandbox in {owners[0]}" if owners else "somebody else"
            raise SandboxError(
                f"{self.configuration} was written by {whose}; `make down` there, "
                "or give this one a file of its own by --config-file"
            )

    def _is_default_configuration(self) -> bool:
        return self.configuration == self._checkout / f"Pulumi.{STACK}.yaml"

    def _salt(self) -> str:
        return (self._home.stack / "salt").read_text()

    def _placeholders(self, facts: StackFacts) -> dict[str, str]:
        cloud = facts.cloud
        plain: dict[str, object] = {
            "cluster_identifier": facts.cluster_identifier,
            "aws_url": cloud.url,
            "aws_region": cloud.region,
            "aws_account": cloud.account,
            "oidc_provider_arn": cloud.oidc_provider_arn,
            "vpc_id": cloud.vpc_id,
            "subnet_ids": list(cloud.subnet_ids),
            "client_security_group_ids": list(cloud.client_security_group_ids),
            "rds_authorities": self._relative(cloud.rds_authorities),
            "access_graph_chart": self._relative(facts.access_graph_chart),
            "teleport_chart": self._relative(facts.teleport_chart),
            "teleport_values": self._relative(facts.teleport_values),
            "host_authorities": self._relative(facts.host_authorities),
        }
        # JSON is valid YAML: quoting and lists come out right for any value.
        return {name: json.dumps(value) for name, value in plain.items()}

    def _relative(self, path: Path) -> str:
        """A path as the configuration needs it: relative to the directory of Pulumi.yaml."""
        return os.path.relpath(path, self._checkout)

    def _engine(self, arguments: Sequence[str], directory: Path) -> None:
        done = subprocess.run(
            [self._home.bin / "pulumi", *arguments, "--non-interactive"],
            cwd=directory,
            env=self.environment(None),
            capture_output=True,
            text=True,
        )
        if done.returncode != 0:
            raise SandboxError(f"`pulumi {' '.join(arguments)}` failed: {(done.stderr or done.stdout).strip()}")


def _is_engine(pid: int) -> bool:
    try:
        return b"pulumi" in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[0]
    except OSError:
        return False


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text())
    except (FileNotFoundError, ValueError):
        return None
