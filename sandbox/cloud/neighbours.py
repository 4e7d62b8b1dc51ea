"""The services around RDS: the parts of IAM, KMS and EC2 that a database's stack needs and moto lacks.

Also the base class of every backend that replaces one of moto's.
"""

from __future__ import annotations

import importlib
import json
from types import ModuleType
from typing import Any, ClassVar

from moto.core.base_backend import BaseBackend
from moto.ec2.exceptions import DependencyViolationError
from moto.ec2.models import EC2Backend, ec2_backends
from moto.ec2.models.security_groups import SecurityGroup, SecurityGroupRule
from moto.iam.aws_managed_policies import aws_managed_policies_data
from moto.iam.models import AWSManagedPolicy, IAMBackend, iam_backends
from moto.kms.models import KmsBackend, kms_backends
from moto.rds.models import rds_backends

# AWS-managed policies that the stack's roles attach. All 1,400 would be saved with every change.
AWS_POLICIES = ("AmazonRDSEnhancedMonitoringRole",)


class StandInBackend(BaseBackend):
    """moto looks for a service's URLs beside its backend's class; ours are elsewhere."""

    service_package: ClassVar[str]

    @property
    def _url_module(self) -> ModuleType:
        return importlib.import_module(f"{self.service_package}.urls")


class AccountIAM(StandInBackend, IAMBackend):
    service_package = "moto.iam"

    def _init_aws_policies(self) -> list[AWSManagedPolicy]:
        known = json.loads(aws_managed_policies_data)
        return [
            AWSManagedPolicy.from_data(name, self.account_id, self.region_name, known[name]) for name in AWS_POLICIES
        ]


class AccountKMS(StandInBackend, KmsBackend):
    service_package = "moto.kms"

    def schedule_key_deletion(self, key_id: str, pending_window_in_days: int) -> float:
        # KMS accepts an ARN too, which moto would look up as an id.
        return float(super().schedule_key_deletion(self.any_id_to_key_id(key_id), pending_window_in_days))


class AccountEC2(StandInBackend, EC2Backend):
    service_package = "moto.ec2"

    def delete_security_group(self, name: str | None = None, group_id: str | None = None) -> None:
        """Refuses a group that an instance's network interface uses; moto's RDS instances have no interfaces."""
        databases = rds_backends[self.account_id][self.region_name].databases.values()
        if group_id and any(group_id in database.vpc_security_group_ids for database in databases):
            raise DependencyViolationError(f"resource {group_id} has a dependent object")
        super().delete_security_group(name, group_id)

    def authorize_security_group_ingress(
        self, *arguments: Any, prefix_list_ids: list[dict[str, str]] | None = None, **given: Any
    ) -> tuple[list[SecurityGroupRule], SecurityGroup]:
        """Keeps the description of a rule for a prefix list, which moto drops."""
        made: tuple[list[SecurityGroupRule], SecurityGroup] = super().authorize_security_group_ingress(
            *arguments, prefix_list_ids=prefix_list_ids, **given
        )
        described = {one["PrefixListId"]: one["Description"] for one in prefix_list_ids or [] if "Description" in one}
        for rule in made[0]:
            if rule.prefix_list_id in described:
                rule.ip_range = {"Description": described[rule.prefix_list_id]}
        return made

    def describe_security_group_rules(
        self, sg_rule_ids: list[str], filters: dict[str, list[str]]
    ) -> list[SecurityGroupRule]:
        """Adds the description of a rule for a group, which moto keeps only in the group's own list. Returns copies."""
        found: list[SecurityGroupRule] = super().describe_security_group_rules(sg_rule_ids, filters)
        for rule in found:
            if "Description" in rule.source_group:
                # moto writes a changed description to `ip_range`.
                rule.ip_range = {"Description": rule.source_group["Description"], **rule.ip_range}
        return found


def install() -> None:
    """Put these in place of moto's. Call before the first request."""
    iam_backends.backend = AccountIAM
    kms_backends.backend = AccountKMS
    ec2_backends.backend = AccountEC2
