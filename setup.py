"""Builds the components as a package with a name of its own: `teleport_access_graph`, from the directory `components`.

In the checkout they are imported as `components`, a name that half of all Pulumi programs use for their own; installed
beside such a program it would be found instead of theirs, or theirs instead of it. So the copy that is built imports
itself by the distribution's name. Everything else of the build is pyproject.toml's.
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
