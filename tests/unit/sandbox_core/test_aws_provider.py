"""The copy of Terraform's AWS provider has the services that are used, and meets the requirements of the plugin's
module."""

from __future__ import annotations

from pathlib import Path

import pytest

from sandbox.toolchain.aws_provider import MODULE, SERVICES, copy_module

pytestmark = pytest.mark.unit

SDK = "github.com/aws/aws-sdk-go-v2/service"
LIST = "internal/provider/sdkv2/service_packages_gen.go"
CLIENTS = "internal/conns/awsclient_gen.go"


@pytest.fixture
def module(tmp_path: Path) -> Path:
    """A Go module in which the two generated files name every service."""
    root = tmp_path / "module"
    named = [*SERVICES, "lambda", "organizations"]
    imports = "".join(f'\t"{MODULE}/internal/service/{name}"\n' for name in named)
    calls = "".join(f"\t\t{name}.ServicePackage(ctx),\n" for name in named)
    methods = "".join(
        f"\nfunc (c *AWSClient) {name}Client(ctx context.Context) *{package}.Client {{\n\treturn nil\n}}\n"
        for name, package in {"RDS": "rds", "Lambda": "lambda", "Directory": "directory", "V2": "wafv2"}.items()
    )
    files = {
        "go.mod": f"module {MODULE}\n",
        LIST: f'import (\n\t"context"\n{imports})\n\nfunc all() {{\n{calls}}}\n',
        CLIENTS: f'import (\n\t"context"\n\t"{SDK}/rds"\n\t"{SDK}/lambda"\n\tdirectory "{SDK}/directoryservice"\n'
        f'\t"{SDK}/internal/wafv2"\n)\n\nfunc (c *AWSClient) Region(ctx context.Context) string {{\n}}\n{methods}',
        "internal/conns/config.go": "c.DirectoryClient(ctx)",
        "internal/service/smarterr.hcl": "",
        "internal/service/rds/instance.go": "conn := meta.(*conns.AWSClient).RDSClient(ctx)",
        "internal/service/rds/instance_test.go": "LambdaClient(ctx)",
        "internal/service/lambda/function.go": "LambdaClient(ctx)",
        "internal/service/organizations/account.go": "",
        "names/names.go": "",
        "version/VERSION": "6",
        "xpprovider/xpprovider.go": "",
        "website/docs/r/db_instance.html.markdown": "",
        **{f"internal/service/{name}/generate.go": "" for name in SERVICES},
    }
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


@pytest.fixture
def plugin(tmp_path: Path) -> Path:
    made = tmp_path / "plugin"
    made.mkdir()
    (made / "main.go").write_text("package main\n")
    (made / "go.mod").write_text(
        f"module local/one\n\nrequire {MODULE} v0.0.0\n\n"
        f"replace (\n\tone => two v1\n\t{MODULE} => github.com/somebody/fork v0.0.0-1\n)\n"
    )
    return made


def test_the_plugins_copy_requires_the_copy_beside_it(plugin: Path, module: Path, tmp_path: Path) -> None:
    before = (plugin / "go.mod").read_text()
    copied = copy_module(plugin, module, tmp_path / "work")
    assert copied == copy_module(plugin, module, tmp_path / "work"), "an interrupted build is begun again"
    assert sorted(file.name for file in copied.iterdir()) == ["go.mod", "main.go"]
    assert (copied / "go.mod").read_text().splitlines()[4:] == [
        "replace (",
        "\tone => two v1",
        f"\t{MODULE} => {tmp_path / 'work' / 'provider'}",
        ")",
    ]
    assert (plugin / "go.mod").read_text() == before


def test_no_more_is_copied_than_is_compiled(plugin: Path, module: Path, tmp_path: Path) -> None:
    provider = copy_module(plugin, module, tmp_path / "work").parent / "provider"
    found = {str(file.relative_to(provider)) for file in provider.rglob("*") if file.is_file()}
    assert found == {
        "go.mod",
        LIST,
        CLIENTS,
        "internal/conns/config.go",
        "internal/service/smarterr.hcl",
        "internal/service/rds/instance.go",
        "internal/service/organizations/account.go",
        "names/names.go",
        "version/VERSION",
        "xpprovider/xpprovider.go",
        *(f"internal/service/{name}/generate.go" for name in SERVICES),
    }


def test_the_generated_files_name_what_is_there(plugin: Path, module: Path, tmp_path: Path) -> None:
    before = {name: (module / name).read_text() for name in (LIST, CLIENTS)}
    provider = copy_module(plugin, module, tmp_path / "work").parent / "provider"
    listed = (provider / LIST).read_text()
    for name in SERVICES:
        assert f'"{MODULE}/internal/service/{name}"' in listed
        assert f"\t\t{name}.ServicePackage(ctx),\n" in listed
    assert '\t"context"\n' in listed
    assert "lambda" not in listed
    assert "organizations" not in listed, "it has no resource here that is asked for"
    clients = (provider / CLIENTS).read_text()
    # A service that stays uses the first client, and code that all services share uses the second; no compiled code
    # uses the others.
    assert f'\t"{SDK}/rds"\n\tdirectory "{SDK}/directoryservice"\n)' in clients
    assert [line.split("(")[1].split(") ")[1] for line in clients.splitlines() if line.startswith("func ")] == [
        "Region",
        "RDSClient",
        "DirectoryClient",
    ]
    assert {name: (module / name).read_text() for name in before} == before, "the module is left as it is"
