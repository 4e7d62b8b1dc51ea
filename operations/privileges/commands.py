"""The command `privileges` of `python -m operations`."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml

from components.settings import Settings
from operations.cluster import Cluster
from operations.privileges import held
from operations.privileges.iam import State, Unscoped, policies
from operations.privileges.purposes import Purpose
from operations.privileges.rbac import ASK, documents, rights
from operations.stack import StackError, read_stack_file


def privileges(
    purpose: Annotated[Purpose, typer.Option("--for", help="The purpose of the identity.")],
    stack: Annotated[str | None, typer.Option(help="The stack; by default the selected one.")] = None,
    config_file: Annotated[
        Path | None,
        # The engine's own variable for its --config-file.
        typer.Option(envvar="PULUMI_OPTION_CONFIG_FILE", help="Its configuration file, if not Pulumi.<stack>.yaml."),
    ] = None,
    organization: Annotated[
        str, typer.Option(help="Organization in the stack's full name; the default suits backends without any.")
    ] = "organization",
    state_bucket: Annotated[str | None, typer.Option(help="S3 bucket of the state.")] = None,
    secrets_key: Annotated[str | None, typer.Option(help="ARN of the KMS key of the secrets provider.")] = None,
    group: Annotated[
        str | None, typer.Option(help="Kubernetes group that gets the rights; by default one is named after the stack.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Directory for the files: IAM policies as JSON, RBAC as YAML.")
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Instead ask the clusters which of the rights the present identity lacks.")
    ] = False,
) -> None:
    """Print the rights of an identity, as IAM policies and Kubernetes RBAC, and which of them reach beyond the stack.

    With --check the exit code is 1 if a right is missing; for validated-preview only dry runs are checked.
    """
    settings = read_stack_file(stack, config_file).settings()
    state = State(bucket=_bucket(state_bucket), key_arn=_key(secrets_key))
    if check:
        _check(settings, purpose)
        return
    if not purpose.reads_world and state == State():
        raise StackError(
            f"privileges: {purpose.value} needs rights on the stack's state alone; "
            "name its bucket by --state-bucket and the key by --secrets-key"
        )
    found, unscoped = policies(settings, purpose, organization=organization, state=state)
    files: dict[str, str] = {}
    for number, policy in enumerate(found, 1):
        files[f"{settings.stack}-{purpose.value}-iam-{number}.json"] = json.dumps(policy, indent=2) + "\n"
    for one in rights(settings, purpose):
        unscoped += one.unscoped
        files[f"{settings.stack}-{purpose.value}-{_file_name(one.context)}.yaml"] = _yaml(
            documents(one, stack=settings.stack, purpose=purpose, group=group)
        )
    for name, text in files.items():
        if out is None:
            print(f"# {name}\n{text}", end="")
        else:
            out.mkdir(parents=True, exist_ok=True)
            (out / name).write_text(text, encoding="utf-8")
            print(f"wrote {out / name}")
    _tell_left_out(state)
    _tell(unscoped)


# https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_KEY = re.compile(r"arn:aws[a-z-]*:kms:[a-z0-9-]+:[0-9]+:key/[A-Za-z0-9-]+")


def _bucket(name: str | None) -> str | None:
    if name is not None and not _BUCKET.fullmatch(name):
        raise StackError(
            f"--state-bucket: {name!r} is no bucket's name; give the name alone, without s3:// and what follows it"
        )
    return name


def _key(arn: str | None) -> str | None:
    if arn is not None and not _KEY.fullmatch(arn):
        raise StackError(
            f"--secrets-key: {arn!r} is not the ARN of a KMS key, which a policy has to name; "
            "`aws kms describe-key --key-id <alias> --query KeyMetadata.Arn` says it"
        )
    return arn


def _check(settings: Settings, purpose: Purpose) -> None:
    verbs = ASK if purpose is Purpose.VALIDATED_PREVIEW else None
    asked = rights(settings, purpose)
    if not asked:
        raise StackError(
            f"privileges: {purpose.value} has no rights in Kubernetes, and --check asks for no others; "
            "without it the rights on the state are printed"
        )
    lacking = held.missing(asked, Cluster.connect, verbs=verbs)
    for one in lacking:
        print(one)
    number, contexts = held.count(asked, verbs=verbs), ", ".join(one.context for one in asked)
    of = f"{number} {'dry runs' if verbs else 'Kubernetes rights'} for {purpose.value} in {contexts}"
    print(f"{len(lacking)} of {of} are missing" if lacking else f"all {of} are there", file=sys.stderr)
    raise typer.Exit(1 if lacking else 0)


def _tell_left_out(state: State) -> None:
    """No setting tells whether the state is in a bucket, or its secrets use a KMS key: say what is left out."""
    if state.bucket is None:
        print("left out: the rights on the state's S3 bucket; --state-bucket adds them", file=sys.stderr)
    if state.key_arn is None:
        print("left out: the rights on the secrets provider's KMS key; --secrets-key adds them", file=sys.stderr)


def _tell(unscoped: Sequence[Unscoped]) -> None:
    if unscoped:
        print("reaches beyond the stack:", file=sys.stderr)
    for one in sorted(set(unscoped)):
        print(f"  {one.right}: {one.why}", file=sys.stderr)


def _yaml(found: list[dict[str, Any]]) -> str:
    text: str = yaml.safe_dump_all(found, sort_keys=False)
    return text


def _file_name(context: str) -> str:
    return "".join(character if character.isalnum() or character in "-._" else "-" for character in context)
