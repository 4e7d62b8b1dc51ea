"""Makes another environment of the stack, its configuration file and its Teleport values, from an existing one.

Owns the questions, and replaces the sample's ids with the answers; `sample` edits the text. `components.settings`
decides which settings are valid: nothing is written that it would refuse.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from components.settings.formats import partition_of
from components.teleport_values import cluster_name
from components.values_files import load_values_files
from operations.preview.environments import LOCAL
from operations.sample import PREFIX, Sample, lines_of, with_list, without
from operations.stack import StackError, read_stack_file
from operations.value_at import value_at
from operations.whole_file import write_whole

NAME = re.compile(r"[a-z][a-z0-9-]{0,31}")
# Values that YAML takes without quotes, in any context.
_PLAIN = re.compile(r"[A-Za-z0-9](?!.*(: | #|:$))[A-Za-z0-9 ._/:=+@#-]*")
_WORD = re.compile(r"[\w-]+")
_BY_ITSELF = r"(?<![\w-])VALUE(?![\w-])"
# The address blocks of the sample's own subnets: in another network they would cut TAG off from its database.
_BLOCKS = ("config", f"{PREFIX}accessGraph", "networkPolicy", "databaseCidrs")
_NO_BLOCKS = "# databaseCidrs: the blocks of the subnets below; without them TAG may call that port anywhere"
_TELEPORTS = ("config", f"{PREFIX}teleport")
_DATABASE = ("config", f"{PREFIX}database")
# How the engine encrypts the sample's secrets: no other environment should be able to read them.
_ENCRYPTION = ("secretsprovider", "encryptedkey", "encryptionsalt")
_PARTITION = r"(?<![\w-])arn:aws(?:-[a-z]+)*:"


@dataclass(frozen=True, kw_only=True)
class Question:
    """One value that differs in every environment."""

    flag: str
    """The command line's option, without dashes."""
    path: tuple[str, ...]
    """Its place in the sample, from the section on."""
    text: str
    several: bool = False
    """Whether the answer is a comma-separated list."""
    word_at: str | None = None
    """For values that may be common words, such as `prod` or `teleport`: a pattern of the places where they are
    meant."""

    def pattern(self, value: str) -> str:
        """A pattern of the places where the sample's `value` occurs, never in the middle of another word."""
        where = self.word_at if self.word_at and _WORD.fullmatch(value) else _BY_ITSELF
        return where.replace("VALUE", re.escape(value))


QUESTIONS = (
    Question(
        flag="context",
        path=("kubernetes", "context"),
        text="kubeconfig context of TAG's cluster",
        word_at=r"(?:(?<=context: )|(?<=--context ))VALUE(?=[\s,}]|$)",
    ),
    Question(
        flag="cluster-identifier",
        path=("kubernetes", "clusterIdentifier"),
        text="UID of its namespace kube-system",
    ),
    Question(flag="region", path=("aws", "region"), text="AWS region of the database"),
    Question(flag="account-id", path=("aws", "accountId"), text="AWS account, 12 digits"),
    Question(
        flag="oidc-provider-arn",
        path=("aws", "workloadIdentity", "oidcProviderArn"),
        text="IAM OIDC provider of the cluster (ARN, or stack:<organization>/<project>/<stack>#<output>)",
    ),
    Question(flag="vpc-id", path=("database", "network", "vpcId"), text="VPC of the database (id, or stack:...)"),
    Question(
        flag="subnet-ids",
        path=("database", "network", "subnetIds"),
        text="private subnets in two zones or more, with commas (ids, or stack:...)",
        several=True,
    ),
    Question(
        flag="client-security-group-ids",
        path=("database", "network", "clientSecurityGroupIds"),
        text="security groups of the nodes or pods that connect, with commas (ids, or stack:...)",
        several=True,
    ),
    Question(
        flag="teleport",
        path=("teleport",),
        text="Teleport's cluster name, as in `tctl status`",
        word_at=r"(?<![\w.:/-])VALUE(?=:[\s\d])|(?<=clusterName: )VALUE(?=\s|$)",
    ),
    Question(
        flag="owner",
        path=("tags", "Owner"),
        text="who answers for it: a team's name in letters, digits, '-', '_' and '.', for a label has it too",
        word_at=r"(?:(?<=Owner: )|(?<=/team: ))VALUE(?=\s|$)",
    ),
)


def questions_of(sample: Sample) -> tuple[Question, ...]:
    """The questions for which the sample has a value to replace."""
    return tuple(question for question in QUESTIONS if _value(sample, question) is not None)


def missing_flags(answers: Mapping[str, str | None], questions: Sequence[Question]) -> list[str]:
    return [f"--{question.flag}" for question in questions if not answers.get(question.flag)]


def rendered(sample: Sample, name: str, answers: Mapping[str, str]) -> dict[Path, str]:
    """The files of environment `name`, by path relative to the project, with comments and order as in `sample`, but
    without what only fits its network. A new environment gets none of the sample's secrets nor the key to them, none of
    its further Teleports, and a database of its own."""
    text = without(sample.text, _BLOCKS, _NO_BLOCKS)
    encryption = "".join(lines_of(text, (key,)) for key in _ENCRYPTION) if name == sample.name else ""
    for key in _ENCRYPTION:
        text = without(text, (key,))
    if name != sample.name:
        for key in sample.secrets:
            text = without(text, ("config", key))
        for teleport in sample.further_teleports:
            text = without(text, (*_TELEPORTS, teleport))
        for setting in sample.settings_of_its_instance:
            text = without(text, (*_DATABASE, setting.removeprefix("database.")))
    own = {rf"(?<![\w/-])environments/{sample.name}/": f"environments/{name}/"}
    # Longest value first, because one value may contain another.
    questions = sorted(questions_of(sample), key=lambda question: -len(str(_value(sample, question))))
    for question in questions:
        value, answer = _value(sample, question), answers[question.flag]
        if question.several:
            section, *keys = question.path
            items = [item.strip() for item in answer.split(",") if item.strip()]
            text = with_list(text, ("config", f"{PREFIX}{section}", *keys), items)
        else:
            own[question.pattern(str(value))] = answer
    if any(question.flag == "region" for question in questions):
        own[_PARTITION] = f"arn:{partition_of(answers['region'])}:"
    values = (sample.root / f"environments/{sample.name}/teleport.yaml").read_text(encoding="utf-8")
    values = values.replace(f"release of {sample.name}:", f"release of {name}:")
    text = re.sub(rf"(Environment: ){sample.name}\b", rf"\g<1>{name}", _replaced(text, own))
    return {
        # Not edited: the encryption key's region need not be the database's.
        Path(f"Pulumi.{name}.yaml"): encryption + text,
        Path(f"environments/{name}/teleport.yaml"): _replaced(values, own),
    }


def check_name(name: str, root: Path, *, force: bool = False) -> None:
    """Raises `StackError` for a name that is invalid, or taken without `force`."""
    if not NAME.fullmatch(name):
        raise StackError(
            f"{name!r}: is no name of an environment; take up to 32 lower-case letters, digits and hyphens"
        )
    if name == LOCAL:
        raise StackError(f"{name}: is the local one's, which Git ignores and nothing deploys; take another name")
    configuration = f"Pulumi.{name}.yaml"
    if (root / configuration).exists() and not force:
        raise StackError(f"{configuration}: exists; edit it, or write it anew with --force")


def write_environment(sample: Sample, name: str, answers: Mapping[str, str], *, force: bool = False) -> list[Path]:
    """Write the files beside the sample's and return those written. Existing values of a Teleport are kept.

    Raises `StackError` for a name that is invalid or taken and for values of another Teleport, `ValuesFileError`, and
    `SettingsError` for answers that the program would refuse. Nothing is written then.
    """
    root = sample.root
    check_name(name, root, force=force)
    for flag, answer in answers.items():
        if not all(_PLAIN.fullmatch(item.strip()) for item in answer.split(",")):
            raise StackError(
                f"--{flag}: is empty, or has characters that no such value has; "
                "letters, digits, spaces and ._/:=+@#- are taken, but neither a colon before a space nor # after one"
            )
    files = rendered(sample, name, answers)
    configuration, values = files
    kept = (root / values).exists()
    if kept:
        place, teleport = cluster_name(load_values_files([str(values)], root))
        if teleport not in (None, answers["teleport"]):
            other_way = "" if name == sample.name else ", or move it away for the sample's to be written"
            raise StackError(
                f"{values}: exists, and its {place} is {teleport}, not {answers['teleport']}: the program would "
                f"refuse it; correct it{other_way}"
            )
    with tempfile.TemporaryDirectory() as directory:
        for path, text in files.items():
            target = Path(directory) / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text, encoding="utf-8")
        made = read_stack_file(name, Path(directory) / configuration)
        # The sample's secrets are left out and the user is told. They count as set here: users set those they need
        # before the first preview.
        to_set = {key.removeprefix(PREFIX) for key in sample.secrets if key.startswith(PREFIX)}
        replace(made, secret_keys=made.secret_keys | to_set).settings(Path(directory))
    written = [configuration] if kept else [values, configuration]
    for path in written:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        write_whole(root / path, files[path])
    return written


def ask(
    given: Mapping[str, str | None],
    questions: Sequence[Question],
    prompt: Callable[[str], str],
    identify: Callable[[str], str | None],
) -> dict[str, str]:
    """`given`, with the missing answers asked for in order.

    `identify` asks the cluster of a context for its identifier; None when it gives none.
    """
    answers: dict[str, str] = {}
    for question in questions:
        answer = given.get(question.flag)
        if not answer and question.flag == "cluster-identifier":
            answer = identify(answers["context"])
        answers[question.flag] = answer or prompt(question.text)
    return answers


def _value(sample: Sample, question: Question) -> Any:
    value = value_at(sample.config, *question.path)
    # The question about a whole section asks for the first name in its map.
    return next(iter(value)) if isinstance(value, Mapping) else value


def _replaced(text: str, values: Mapping[str, str]) -> str:
    """Replace everything that the patterns match in one pass, so that no answer is mistaken for one of the sample's
    ids."""
    answers = list(values.values())
    pattern = re.compile("|".join(f"({one})" for one in values), re.MULTILINE)
    return pattern.sub(lambda match: answers[(match.lastindex or 0) - 1], text)
