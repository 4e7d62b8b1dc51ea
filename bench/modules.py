"""`modules.py <file> <arguments>`: runs that file as a program and prints, as JSON, the modules of installed packages
that it loads: the SDKs and all other libraries, but neither Python's own nor the program's."""

import json
import runpy
import sys
import sysconfig
from types import ModuleType


def main(file: str) -> None:
    try:
        runpy.run_path(file, run_name="__main__")
    except SystemExit as ended:
        if ended.code:
            raise
    installed = tuple({sysconfig.get_path("purelib"), sysconfig.get_path("platlib")})
    # A module that is still waiting for its first use has another type.
    loaded = {name: module for name, module in sys.modules.items() if type(module) is ModuleType}
    print(json.dumps(sorted(name for name, module in loaded.items() if _file(module).startswith(installed))))


def _file(module: ModuleType) -> str:
    return getattr(module, "__file__", None) or ""


if __name__ == "__main__":
    # The script's own directory is not on the program's path.
    del sys.path[0], sys.argv[0]
    main(sys.argv[0])
