"""Terraform's AWS provider with a few of its two hundred services: compiling all of it takes half an hour.

Owns the two generated files that name all services; the list of services that stay is kept with the plugin's sources.
The copy is made in the build's workspace and removed with it.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Final

MODULE: Final = "github.com/hashicorp/terraform-provider-aws"
SERVICES: Final = tuple((Path(__file__).parent / "bridged_aws" / "services.txt").read_text().split())
# A service that is left out, except for its code that the remaining ones use.
_ALSO_USED: Final = ("organizations",)

_LIST: Final = Path("internal/provider/sdkv2/service_packages_gen.go")
_CLIENTS: Final = Path("internal/conns/awsclient_gen.go")
_SERVICE: Final = re.compile(r'/internal/service/(\w+)"|^\s+(\w+)\.ServicePackage\(ctx\),$')
_CLIENT: Final = re.compile(r"^func \(c \*AWSClient\) ", re.MULTILINE)
_SDK: Final = re.compile(r'^\s+(?:(\w+) )?"github\.com/aws/aws-sdk-go-v2/service/(?:\w+/)*(\w+)"$')


def copy_module(plugin: Path, module: Path, workspace: Path) -> Path:
    """Copy the plugin's module into the workspace, requiring a reduced copy of the provider beside it; returns its
    path.

    `module` is where Go has the provider.
    """
    provider, copied = workspace / "provider", workspace / "plugin"
    for target in (provider, copied):
        shutil.rmtree(target, ignore_errors=True)
    for file in [module / "go.mod", *_compiled(module)]:
        target = provider / file.relative_to(module)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, target)
    (provider / _LIST).write_text(_fewer_services(module))
    (provider / _CLIENTS).write_text(_fewer_clients(module))
    shutil.copytree(plugin, copied)
    mod = copied / "go.mod"
    replaced = re.sub(rf"(?m)^(\s*{re.escape(MODULE)} => ).*$", rf"\g<1>{provider}", mod.read_text())
    mod.write_text(replaced)
    return copied


def _fewer_services(module: Path) -> str:
    def stays(line: str) -> bool:
        named = _SERVICE.search(line)
        return named is None or (named[1] or named[2]) in SERVICES

    return "".join(line for line in (module / _LIST).read_text().splitlines(keepends=True) if stays(line.rstrip("\n")))


def _fewer_clients(module: Path) -> str:
    """Only the methods that return AWS SDK clients in use: each one kept would get its service's client compiled."""
    called = set()
    for file in _compiled(module):
        if file.suffix == ".go" and file != module / _CLIENTS:
            called.update(re.findall(r"\.(\w+Client)\(ctx", file.read_text(errors="replace")))
    head, *methods = re.split(f"(?={_CLIENT.pattern})", (module / _CLIENTS).read_text(), flags=re.MULTILINE)
    names = [method.removeprefix("func (c *AWSClient) ").partition("(")[0] for method in methods]
    kept = [
        method for name, method in zip(names, methods, strict=True) if name in called or not name.endswith("Client")
    ]
    packages = {package for method in kept for package in re.findall(r"[*\[](\w+)\.", method)}

    def stays(line: str) -> bool:
        named = _SDK.match(line)
        return named is None or (named[1] or named[2]) in packages

    return "".join(line for line in head.splitlines(keepends=True) if stays(line.rstrip("\n"))) + "".join(kept)


def _compiled(module: Path) -> list[Path]:
    """Everything the compiler needs, including embedded data."""
    internal = module / "internal"
    services = internal / "service"
    roots = [path for path in internal.iterdir() if path != services]
    roots += [path for path in services.iterdir() if path.is_file() or path.name in (*SERVICES, *_ALSO_USED)]
    roots += [module / name for name in ("names", "version", "xpprovider")]
    files = [file for root in roots for file in ([root] if root.is_file() else root.rglob("*"))]
    return [file for file in files if file.is_file() and not file.name.endswith("_test.go")]
