"""Retires the logins of the access graph's database that are not in use.

Owns the Job that does so, the last step of a rotation. `database_access.py` makes the logins, and `login_slots.py` says
which one is in use.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pulumi

from components.applied import made
from components.arguments import ComponentArgs
from components.database_job import database_job, job_name, job_spec
from components.database_script import RETIRE_LOGINS
from components.digests import check_digest_key
from components.handed_on import waiting
from components.known_after import known_after
from components.login_slots import ALL_LOGINS
from components.settings.names import DATABASE_LOGINS_NAME

# Kubernetes gives a pod 30 seconds to end, which the chart does not change; this is a little more.
GRACE_SECONDS = 40


@dataclass(frozen=True, kw_only=True)
class LoginRetirementArgs(ComponentArgs):
    namespace: pulumi.Input[str]
    """Namespace of the access Job, whose ServiceAccount and Secret are used here too."""

    job: pulumi.Input[Mapping[str, Any]]
    """The access Job's arguments to reach the database: `DatabaseAccess.job`."""

    login: pulumi.Input[str]
    """The login that stays: `DatabaseAccess.login`."""

    after_run: pulumi.Input[str]
    """The run of the access Job that made the login: `DatabaseAccess.run`. This Job runs after each such run, since a
    rotation that failed half way and was rolled back leaves a login behind."""

    digest_key: pulumi.Input[str]
    """Random secret that keys the digest in the Job's name; see `digests.py`."""

    grace_seconds: int = GRACE_SECONDS
    """How long pods from before the rotation may still use their login."""


class LoginRetirement(pulumi.ComponentResource):
    """Lets one login of the access graph log in, and no other. Must come after the rollout of the pods that use that
    login: pass what it has to wait for as `depends_on`.

    Sessions of the other logins end too, where the master user may end them (in RDS it may). Elsewhere a warning in the
    Job's log says so.
    """

    login: pulumi.Output[str]
    """The login that stays."""
    ready: pulumi.Output[str]
    """Name of the Job, once it is done."""

    def __init__(self, name: str, args: LoginRetirementArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        args = LoginRetirementArgs.from_input(args)
        check_digest_key(args.digest_key)
        super().__init__("teleport-access-graph:index:LoginRetirement", name, {}, waiting(opts))
        spec: pulumi.Output[Any] = pulumi.Output.all(job=args.job, login=args.login).apply(
            lambda resolved: job_spec(
                script=RETIRE_LOGINS,
                environment=[
                    {"name": "LOGIN_ROLE", "value": resolved["login"]},
                    {"name": "LOGIN_ROLES", "value": " ".join(ALL_LOGINS)},
                    {"name": "GRACE_SECONDS", "value": str(args.grace_seconds)},
                ],
                **{**resolved["job"], "timeout_seconds": resolved["job"]["timeout_seconds"] + args.grace_seconds},
            )
        )
        job = database_job(
            f"{name}-job",
            object_name=DATABASE_LOGINS_NAME,
            namespace=args.namespace,
            spec=spec,
            digest_key=args.digest_key,
            causes=[args.after_run],
            opts=pulumi.ResourceOptions(parent=self),
        )
        self.login = pulumi.Output.from_input(args.login)
        self.ready = known_after(job_name(job), made(job, job.status))
        self.register_outputs({"login": self.login, "ready": self.ready})
