"""`modules.py <file> <arguments>`: runs that file as a program and prints, as JSON, the SDKs' modules that it loads."""

import json
import runpy
import sys
from types import ModuleType

SDKS = ("pulumi", "pulumi_aws", "pulumi_kubernetes", "pulumi_random", "pulumi_tls")


def main(file: str) -> None:
    try:
        runpy.run_path(file, run_name="__main__")
    except SystemExit as ended:
        if ended.code:
            raise
    # One that waits for its first use is of another type until then.
    loaded = [name for name, module in sys.modules.items() if type(module) is ModuleType]
    print(json.dumps(sorted(name for name in loaded if name.partition(".")[0] in SDKS)))


if __name__ == "__main__":
    # Its own directory is not the program's.
    del sys.path[0], sys.argv[0]
    main(sys.argv[0])
