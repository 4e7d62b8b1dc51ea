"""The command line of `operations`: `python -m operations --help`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from components.settings import SettingsError
from components.values_files import ValuesFileError
from operations.address_book import AddressBookError
from operations.adopt import AdoptError
from operations.cluster import Cluster, ClusterError
from operations.findings import exit_code, print_findings
from operations.stack import ROOT, StackError, read_outputs, read_stack_file

app = typer.Typer(
    help="Looks at the live world of a stack, and mends it. Clusters are reached by kubeconfig contexts.",
    no_args_is_help=True,
    add_completion=False,
    # A traceback would show local variables, and those may be secrets.
    pretty_exceptions_enable=False,
)

Stack = Annotated[str | None, typer.Option(help="The stack; by default the selected one.")]
ConfigFile = Annotated[Path | None, typer.Option(help="Its configuration, when it is not Pulumi.<stack>.yaml.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of lines.")]


@app.command()
def verify(
    stack: Stack = None,
    config_file: ConfigFile = None,
    stack_outputs: Annotated[
        Path | None, typer.Option(help="The JSON of `pulumi stack output --json`; by default the engine is asked.")
    ] = None,
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
    allow_unproven: Annotated[
        bool, typer.Option(help="Exit 0 also when something could not be looked at from here.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Prove the deployed stack from outside. Exit code: 0 proven, 1 something fails, 3 something is not proven."""
    from operations.verify import Verification

    settings = read_stack_file(stack, config_file).settings()
    verification = Verification(
        settings=settings,
        outputs=read_outputs(stack, stack_outputs),
        host_identities=_identities(host_identity or [], next(iter(settings.teleport), "")),
        values_before=values_before,
    )
    findings = verification.run()
    print_findings(findings, as_json=as_json)
    raise typer.Exit(exit_code(findings, allow_unproven=allow_unproven))


@app.command()
def adopt(
    cluster: Annotated[str, typer.Option(help="Teleport's cluster name, as in `tctl status`.")],
    output: Annotated[Path, typer.Option(help="Directory for the values files.")],
    context: Annotated[str | None, typer.Option(help="Kubeconfig context; by default the current one.")] = None,
    namespace: Annotated[str, typer.Option(help="Namespace of the release.")] = "teleport",
    release: Annotated[str, typer.Option(help="Name of the teleport-cluster release.")] = "teleport",
    without_access_graph: Annotated[
        bool, typer.Option("--without-access-graph", help="Leave out what connects it to an access graph already.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Overwrite files that say something else.")] = False,
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


def _identities(given: list[str], first: str) -> dict[str, Path]:
    identities = {}
    for one in given:
        cluster, equals, path = one.rpartition("=")
        if not Path(path).is_file():
            raise StackError(f"--host-identity: {path} is no file; give a PEM with a certificate and its key")
        identities[cluster if equals else first] = Path(path)
    return identities


def main() -> None:
    """Run the command line; what is expected to go wrong is one message and exit code 2."""
    try:
        app()
    except (StackError, SettingsError, ClusterError, AddressBookError, AdoptError, ValuesFileError) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
