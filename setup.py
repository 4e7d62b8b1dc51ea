"""Builds the package `teleport_access_graph` from the directory `components`.

The checkout imports it as `components`, a name that many Pulumi programs use for a package of their own. Installed
under that name, one of the two would hide the other. So the build rewrites the imports to the package's own name.
Everything else about the build is in pyproject.toml.
"""

import re
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

PACKAGE = "teleport_access_graph"
OWN_IMPORT = re.compile(r"^(\s*(?:from|import) )components(?=[. ])", re.MULTILINE)


class BuildUnderOwnName(build_py):
    def run(self) -> None:
        if self.editable_mode:
            raise SystemExit(
                f"{PACKAGE}: cannot be installed as editable, for it is built from `components` under another name; "
                "install it plainly, or put the checkout on the path and import `components`"
            )
        super().run()

    def build_module(self, module, module_file, package):  # type: ignore[no-untyped-def]
        built, copied = super().build_module(module, module_file, package)
        file = Path(built)
        file.write_text(OWN_IMPORT.sub(rf"\g<1>{PACKAGE}", file.read_text(encoding="utf-8")), encoding="utf-8")
        return built, copied


setup(cmdclass={"build_py": BuildUnderOwnName})
