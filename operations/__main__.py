"""The command line of `operations`: `python -m operations --help`."""

from __future__ import annotations

import signal

if __name__ == "__main__" and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    # Nothing has begun while packages load, so Ctrl-C may end the program as usual, without a traceback.
    signal.signal(signal.SIGINT, signal.SIG_DFL)

from components import collector

collector.pause()

import json
import os
import ssl
import sys
import tempfile
import warnings
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

try:
    import typer
except ModuleNotFoundError:
    # Only what `pulumi up` needs is installed: a traceback would not say what else is missing.
    print(
        "error: `python -m operations` needs more packages than `pulumi up`; run `make setup`, or "
        "`pip install -r requirements-dev.txt` in the same environment",
        file=sys.stderr,
    )
    sys.exit(2)

from components.printable import printable
from components.settings import SettingsError
from components.values_files import ValuesFileError
from operations.address_book import AddressBookError
from operations.adopt import AdoptError
from operations.cluster import Cluster, ClusterError
from operations.findings import exit_code, print_findings
from operations.fleet import FleetOperation, closing_lines, run_fleet
from operations.preview import commands as preview_commands
from operations.privileges import commands as privileges_commands
from operations.stack import (
    ROOT,
    StackError,
    ask_engine,
    in_file,
    read_outputs,
    read_stack_file,
    selected_stack,
)
from operations.supply_chain import commands as supply_chain_commands

collector.resume()

app = typer.Typer(
    help="Checks, adopts and repairs what a stack deploys. Clusters are reached by kubeconfig contexts.",
    no_args_is_help=True,
    add_completion=False,
    # A traceback would show local variables, and those may be secrets.
    pretty_exceptions_enable=False,
)

Stack = Annotated[str | None, typer.Option(help="The stack; by default the selected one.")]
ConfigFile = Annotated[Path | None, typer.Option(help="Its configuration file, if not Pulumi.<stack>.yaml.")]
StackOutputs = Annotated[
    Path | None,
    typer.Option(help="File with the JSON of `pulumi stack output --json`; by default the engine is asked."),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of lines.")]
AllowUnproven = Annotated[
    bool, typer.Option("--allow-unproven", help="Exit 0 even if something could not be checked from here.")
]


@app.command()
def verify(
    stack: Stack = None,
    config_file: ConfigFile = None,
    stack_outputs: StackOutputs = None,
    host_identity: Annotated[
        list[str] | None,
        typer.Option(
            envvar="ACCESS_GRAPH_HOST_IDENTITY",
            help="PEM with a certificate of Teleport's host CA and its key: FILE (first cluster) or CLUSTER=FILE.",
        ),
    ] = None,
    values_before: Annotated[
        Path | None, typer.Option(help="Values of the first Teleport release before this stack touched it.")
    ] = None,
    allow_unproven: AllowUnproven = False,
    as_json: Json = False,
) -> None:
    """Prove the deployed stack from outside. Exit code: 0 proven, 1 something fails, 3 something is not proven."""
    from operations.verify import Verification

    file = read_stack_file(stack, config_file)
    settings = file.settings()
    outputs = read_outputs(stack, stack_outputs)
    if not outputs:
        raise StackError("the stack has no outputs: nothing is deployed, or no `up` has succeeded yet; run `up`")
    verification = Verification(
        settings=settings,
        secret_values="teleportSecretValues" in file.secret_keys,
        outputs=outputs,
        host_identities=_identities(host_identity or [], list(settings.teleport)),
        values_before=values_before,
    )
    findings = verification.run()
    print_findings(findings, as_json=as_json)
    raise typer.Exit(exit_code(findings, allow_unproven=allow_unproven))


@app.command()
def preflight(
    stack: Stack = None,
    config_file: ConfigFile = None,
    stack_outputs: StackOutputs = None,
    skip: Annotated[
        list[str] | None, typer.Option(help="Skip the checks whose name in --json begins with this.")
    ] = None,
    allow_unproven: AllowUnproven = False,
    as_json: Json = False,
) -> None:
    """Check the clusters and the account before an `up`. Exit code: 0 it can work, 1 it cannot, 3 something is not
    proven, 2 an error, such as a --skip that matches no check."""
    from operations.engine_record import read_record
    from operations.preflight import Preflight

    file = read_stack_file(stack, config_file)
    record = None
    try:
        outputs = read_outputs(stack, stack_outputs)
        # Given the outputs as a file, there may be no engine here.
        record = read_record(stack) if stack_outputs is None else None
    except StackError as error:
        # Before the first `up` the stack may not exist yet.
        print(f"note: without the stack's outputs: {error}", file=sys.stderr)
        outputs = None
    run = Preflight(
        settings=file.settings(),
        secret_values="teleportSecretValues" in file.secret_keys,
        outputs=outputs,
        record=record,
    )
    findings = run.run(skip or ())
    print_findings(findings, as_json=as_json)
    code = exit_code(findings, allow_unproven=allow_unproven)
    for one in run.unmatched:
        print(f"error: --skip {one}: no check's name begins with that; --json has the names", file=sys.stderr)
        code = code if code == 1 else 2
    raise typer.Exit(code)


@app.command()
def adopt(
    cluster: Annotated[str, typer.Option(help="Teleport's cluster name, as in `tctl status`.")],
    output: Annotated[Path, typer.Option(help="Directory for the values files.")],
    context: Annotated[str | None, typer.Option(help="Kubeconfig context; by default the current one.")] = None,
    namespace: Annotated[str, typer.Option(help="Namespace of the release.")] = "teleport",
    release: Annotated[str, typer.Option(help="Name of the teleport-cluster release.")] = "teleport",
    without_access_graph: Annotated[
        bool,
        typer.Option(
            "--without-access-graph", help="Leave out of the files what already connects it to an access graph."
        ),
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Overwrite files with other content.")] = False,
) -> None:
    """Write the values files of a Teleport release that runs already, and print the configuration that adopts it."""
    from operations.adopt import read_adoption, snippet, write_adoption

    adoption = read_adoption(
        Cluster.connect(context),
        namespace=namespace,
        release=release,
        teleport=cluster,
        without_access_graph=without_access_graph,
    )
    plain, secret = write_adoption(adoption, output, force=force)
    print(f"# wrote {plain}" + (f" and {secret} (only you can read it)" if secret else ""), file=sys.stderr)
    print(snippet(adoption, plain, secret, ROOT), end="")


@app.command()
def recover(
    stack: Stack = None,
    config_file: ConfigFile = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do everything without asking.")] = False,
    restore_record: Annotated[
        bool,
        typer.Option(
            "--restore-record",
            help="With --yes: also put back a state record that is missing, as after a kill or `pulumi stack rm`.",
        ),
    ] = False,
) -> None:
    """Repair what a killed `up` left behind. Asks before each change; the next `up` then converges.

    Exit code: 0 nothing is left, 1 something is left to you (declined, or only named), 2 an error stopped it.
    """
    from operations.recover import RESTORE, Recovery

    name = stack or selected_stack()
    agreed = {"", *([RESTORE] if restore_record else [])}
    done, left = 0, []
    settings = read_stack_file(name, config_file).settings()
    recovery = Recovery(settings=settings, stack=name, config_file=config_file)
    for note in recovery.notes():
        print(f"note: {note}", file=sys.stderr)
    for step in recovery.steps():
        print(step.problem)
        if step.act is None:
            print(f"  {step.remedy}")
        elif yes and step.option not in agreed:
            print(f"  {step.remedy}: with {step.option}")
        elif yes or _agreed(f"  {step.remedy}?"):
            print(f"  {step.remedy}: {step.act()}")
            done += 1
            continue
        else:
            print("  left as it is")
        left.append(step.problem)
    if left:
        print(f"{done} things done, {len(left)} left: {'; '.join(left)}")
        raise typer.Exit(1)
    print(f"{done} things done; `up` goes on from here")


@app.command()
def diagnose(stack: Stack = None, config_file: ConfigFile = None, as_json: Json = False) -> None:
    """Find what is wrong from logs, events and objects. Exit code: 0 nothing is known to be wrong, 1 something is."""
    from operations.diagnose import diagnose_stack

    found = diagnose_stack(read_stack_file(stack, config_file).settings(), Cluster.connect)
    if as_json:
        print(json.dumps([asdict(one) for one in found], indent=2))
    else:
        for one in found:
            print(f"{printable(f'{one.where}: {one.evidence}')}\n  cause: {one.cause}\n  remedy: {one.remedy}")
        print(f"{len(found)} findings" if found else "nothing is known to be wrong; `verify` proves what works")
    raise typer.Exit(1 if found else 0)


@app.command()
def graph(
    stack: Stack = None,
    config_file: ConfigFile = None,
    preview_file: Annotated[
        Path | None,
        typer.Option("--preview", help="File with the JSON of a preview with --show-sames; by default one is made."),
    ] = None,
    out: Annotated[Path, typer.Option(help="Where to write the picture.")] = Path("graph.svg"),
) -> None:
    """Draw what waits for what, with the critical path of an `up` from nothing."""
    from operations.graph import critical_path, picture, resources
    from operations.preview.document import read_preview

    if preview_file is not None:
        preview = read_preview(preview_file.read_text(encoding="utf-8", errors="replace"))
    else:
        arguments = ["preview", "--json", "--show-sames", *(["--stack", stack] if stack else [])]
        done = ask_engine([*arguments, *in_file(config_file)], timeout=600.0)
        preview = read_preview(done.stdout, exit_code=done.returncode, log=done.stderr)
    if preview.failure is not None:
        raise StackError("\n".join([preview.failure, *map(printable, preview.errors or preview.log.splitlines())]))
    steps = resources(preview)
    path = critical_path(steps)
    out.write_text(picture(steps, path, "What waits for what, and the critical path"), encoding="utf-8")
    print("\n".join([*path.lines(), f"wrote {out}"]))


app.command()(preview_commands.comment)
app.command()(preview_commands.drift)
app.command()(privileges_commands.privileges)
app.command("bill-of-materials")(supply_chain_commands.write_bill_of_materials)
app.command()(supply_chain_commands.licences)


@app.command()
def environment(
    name: Annotated[str, typer.Argument(help="Name of the environment, and of its stack.")],
    like: Annotated[str, typer.Option(help="The sample to start from: dev (small) or prod (hardened).")] = "dev",
    context: Annotated[str | None, typer.Option(help="Kubeconfig context of TAG's cluster.")] = None,
    cluster_identifier: Annotated[
        str | None,
        typer.Option(help="UID of its namespace kube-system; by default read from the cluster if reachable."),
    ] = None,
    region: Annotated[str | None, typer.Option(help="AWS region of the database.")] = None,
    account_id: Annotated[str | None, typer.Option(help="AWS account, 12 digits.")] = None,
    oidc_provider_arn: Annotated[str | None, typer.Option(help="IAM OIDC provider of the cluster.")] = None,
    vpc_id: Annotated[str | None, typer.Option(help="VPC of the database.")] = None,
    subnet_ids: Annotated[
        str | None, typer.Option(help="Private subnets in two zones or more, separated by commas.")
    ] = None,
    client_security_group_ids: Annotated[
        str | None, typer.Option(help="Security groups of the nodes or pods that connect, separated by commas.")
    ] = None,
    teleport: Annotated[str | None, typer.Option(help="Teleport's cluster name, as in `tctl status`.")] = None,
    owner: Annotated[
        str | None, typer.Option(help="The team that answers for it: becomes a tag, and with prod a label too.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite an existing configuration.")] = False,
) -> None:
    """Write the configuration of a new environment. On a terminal, asks for what no flag gives."""
    from operations.environment import (
        ask,
        check_name,
        missing_flags,
        questions_of,
        rendered,
        write_environment,
    )
    from operations.sample import Sample

    check_name(name, ROOT, force=force)
    if cluster_identifier is None and context is not None and not sys.stdin.isatty():
        cluster_identifier = _identifier(context)
    given = {
        "context": context,
        "cluster-identifier": cluster_identifier,
        "region": region,
        "account-id": account_id,
        "oidc-provider-arn": oidc_provider_arn,
        "vpc-id": vpc_id,
        "subnet-ids": subnet_ids,
        "client-security-group-ids": client_security_group_ids,
        "teleport": teleport,
        "owner": owner,
    }
    sample = Sample.read(like, ROOT)
    questions = questions_of(sample)
    missing = missing_flags(given, questions)
    if missing and not sys.stdin.isatty():
        raise StackError(f"{', '.join(missing)}: missing, and there is no terminal to ask at; pass what they are")
    answers = ask(given, questions, lambda text: str(typer.prompt(text)), _identifier)
    written = write_environment(sample, name, answers, force=force)
    for path in rendered(sample, name, answers):
        print(f"{'wrote' if path in written else 'kept'} {path}")
    if name != like:
        for key in sample.secrets:
            print(
                f"left out {key}: a secret of {like}'s; `pulumi config set --secret --stack {name} {key}` for its own"
            )
        for one in sample.further_teleports:
            print(f"left out {one}: a further Teleport of {like}'s; write the entries of its own by hand")
        for one in sample.settings_of_its_instance:
            print(f"left out {one}: of the database that {like} has; set it if {name} is to have one that exists too")
    print(
        f"next: `pulumi stack init {name}` with your secrets provider, `python -m operations adopt` for the values of "
        f"your Teleport,\nthen `python -m operations preflight --stack {name}` and `pulumi preview --stack {name}`"
    )


@app.command()
def fleet(
    operation: Annotated[FleetOperation, typer.Argument(help="What to do with each environment.")],
    stacks: Annotated[str | None, typer.Option(help="The environments, separated by commas.")] = None,
    every: Annotated[bool, typer.Option("--all", help="Every environment that has a Pulumi.<name>.yaml.")] = False,
    parallel: Annotated[int, typer.Option(min=1, max=64, help="How many to run at a time.")] = 4,
    max_failures: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Start no more environments after this many failures. By default 1 for up, and no limit for preview.",
        ),
    ] = None,
    logs: Annotated[
        Path, typer.Option(help="Directory for the engines' output, one file for each environment.")
    ] = Path("report/fleet"),
    config_directory: Annotated[
        Path | None, typer.Option(help="Directory of the Pulumi.<name>.yaml files, if not beside the program.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Deploy without asking.")] = False,
) -> None:
    """Preview or deploy many environments, with a status line for each. Exit code: 0 all succeeded, 1 one failed."""
    from operations.fleet_engine import EngineCommand, EngineRun

    directory = (config_directory or ROOT).absolute()  # the engine runs in the program's directory
    names = _environments(stacks, every, directory)
    if operation is FleetOperation.up:
        max_failures = max_failures or 1
        if not yes and not (sys.stdin.isatty() and typer.confirm(f"deploy to {', '.join(names)}?")):
            raise StackError("fleet up: nothing was deployed; say --yes where there is no terminal to ask at")
    command = EngineCommand()
    run = EngineRun(
        operation=operation,
        root=ROOT,
        configuration=None if config_directory is None else lambda name: directory / f"Pulumi.{name}.yaml",
        command=command,
    )
    logs.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=logs):
        pass  # else each environment would fail here on its own, after others had begun
    report = run_fleet(
        names,
        run,
        parallel=parallel,
        logs=logs.resolve(),
        say=_say,
        max_failures=max_failures,
        cancel=command.interrupt,
    )
    for line in closing_lines(report):
        _say(line)
    raise typer.Exit(report.exit_code)


def _agreed(question: str) -> bool:
    try:
        return typer.confirm(question)
    except typer.Abort:
        if sys.stdin.isatty():
            raise  # Ctrl-C
        raise StackError("recover: there is no terminal to ask at, so the rest is left; --yes does it all") from None


def _environments(stacks: str | None, every: bool, directory: Path) -> list[str]:
    """The environments to work on; all names are checked before the first begins."""
    from operations.preview.environments import environments

    if every == (stacks is not None):
        raise StackError("fleet: say which environments by --stacks, or --all")
    known = environments(directory)
    names = list(known) if stacks is None else [name.strip() for name in stacks.split(",") if name.strip()]
    unknown = [name for name in names if "." in name or not (directory / f"Pulumi.{name}.yaml").is_file()]
    if unknown or not names:
        raise StackError(f"fleet: no Pulumi.<name>.yaml for {', '.join(unknown) or 'any environment'}")
    if len(set(names)) < len(names):
        raise StackError("fleet: an environment is named twice; two engines would wait for one lock")
    return names


def _say(line: str) -> None:
    # Flushed at once, also into a pipe: the command exists to report each environment as it ends. When nobody reads any
    # more (a closed terminal), the running environments still have to end.
    try:
        print(line, flush=True)
    except OSError:
        pass


def _identifier(context: str) -> str | None:
    """The cluster's identifier; None when the cluster cannot be asked from here."""
    try:
        namespace = Cluster.connect(context).get("Namespace", "kube-system")
    except ClusterError:
        return None
    return None if namespace is None else str(namespace["metadata"]["uid"])


def _identities(given: list[str], clusters: list[str]) -> dict[str, Path]:
    identities = {}
    for one in given:
        cluster, equals, path = one.rpartition("=")
        if equals and cluster not in clusters:
            raise StackError(
                f"--host-identity: {cluster} is no Teleport of this configuration, which has "
                f"{', '.join(clusters) or 'none'}; name one that it has"
            )
        if not Path(path).is_file():
            raise StackError(f"--host-identity: {path} is no file; give a PEM with a certificate and its key")
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_cert_chain(path, password="")  # else it asks at the terminal
        except OSError as error:
            said = (
                f"--host-identity: {path} has no certificate with its key, unencrypted ({error}); give both in one PEM"
            )
            raise StackError(said) from None
        identities[cluster if equals else next(iter(clusters), "")] = Path(path)
    return identities


def main() -> None:
    """Run the command line; expected errors become one message and exit code 2."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_DFL:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    # cryptography says so of a root in this machine's trust store, which nobody here can change.
    warnings.filterwarnings("ignore", message="Parsed a serial number which wasn't positive")
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            # Closed from the start, as by `>&-`: the caller wants only the exit code.
            setattr(sys, name, os.fdopen(os.open(os.devnull, os.O_WRONLY), "w"))
    try:
        try:
            app()
        finally:
            # Flush here, where an error can be reported, not when the interpreter ends: the disk may be full.
            sys.stdout.flush()
    except OSError as error:
        _end_output()
        if isinstance(error, BrokenPipeError):
            sys.exit(1)  # the reader has had enough, as with `| head`
        where = "" if error.filename is None else f"{error.filename}: "
        print(f"error: {where}{error.strerror or error}", file=sys.stderr)
        sys.exit(2)
    except (StackError, SettingsError, ClusterError, AddressBookError, AdoptError, ValuesFileError) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)


def _end_output() -> None:
    """Discard the rest of the output; otherwise the interpreter would try again to write it."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


if __name__ == "__main__":
    main()
