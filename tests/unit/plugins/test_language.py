"""The language host: which Python runs a program, which plugins the program needs, and how the engine learns of its
end."""

from __future__ import annotations

import json
import sys
import venv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf import struct_pb2

from sandbox.plugins.language import VERSION
from sandbox.plugins.language.host import LanguageHost
from sandbox.plugins.language.interpreter import Interpreter, OptionError, resolve_interpreter
from sandbox.plugins.language.packages import plugin_version, required_packages
from sandbox.plugins.protocol_messages import language_pb2, language_pb2_grpc
from sandbox.plugins.serve import CHANNEL_OPTIONS, start_server

pytestmark = pytest.mark.unit


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A real, empty virtual environment."""
    folder = tmp_path_factory.mktemp("environment") / "venv"
    venv.create(folder, with_pip=False, symlinks=True)
    return folder


def packages_folder(environment: Path) -> Path:
    return next(environment.glob("lib/python*/site-packages"))


def test_the_option_names_the_environment_relative_to_the_project(environment: Path) -> None:
    root = environment.parent
    found = resolve_interpreter(root, root / "program", {"virtualenv": "venv"})
    assert found == Interpreter(root / "venv" / "bin" / "python", root / "venv", None)
    variables = found.environment()
    assert variables["VIRTUAL_ENV"] == str(environment)
    assert variables["PATH"].startswith(f"{environment}/bin:")
    assert "PYTHONHOME" not in variables


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"virtualenv": "nowhere"}, '"nowhere", but .* doesn\'t exist; run the following commands'),
        ({"virtualenv": "empty"}, "doesn't appear to be a virtual environment"),
        ({"virtualenv": 3}, "must be a string"),
        ({"toolchain": "conda"}, "'conda' is unknown; give one of pip, uv, poetry"),
        ({"toolchain": "poetry"}, "knows pip and uv, not poetry"),
        ({"toolchain": "uv"}, "uv needs a pyproject.toml"),
        ({"typechecker": "ty"}, "'ty' is unknown; give one of mypy, pyright"),
        ({"virtual_env": "venv"}, "no such option"),
    ],
)
def test_an_option_that_cannot_be_honoured_is_named(tmp_path: Path, options: dict[str, Any], message: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(OptionError, match=message):
        resolve_interpreter(tmp_path, tmp_path, options)


def test_uv_uses_the_environment_beside_the_project(tmp_path: Path) -> None:
    venv.create(tmp_path / ".venv", with_pip=False, symlinks=True)
    (tmp_path / "pyproject.toml").touch()
    (tmp_path / "uv.lock").touch()
    assert resolve_interpreter(tmp_path, tmp_path, {}).virtual_environment == tmp_path / ".venv"


def test_without_an_environment_the_python_on_the_path_serves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PULUMI_PYTHON_CMD", sys.executable)
    assert resolve_interpreter(tmp_path, tmp_path, {}).python == Path(sys.executable)
    monkeypatch.setenv("PULUMI_PYTHON_CMD", "no-such-python")
    with pytest.raises(OptionError, match="no-such-python"):
        resolve_interpreter(tmp_path, tmp_path, {})


def test_plugins_are_those_of_every_installed_sdk(environment: Path) -> None:
    folder = packages_folder(environment)
    for module, description in {
        "pulumi_kubernetes": {"resource": True, "name": "kubernetes", "version": "4.34.2"},
        "third_party": {"resource": True, "name": "other", "server": "github://api.github.com/x"},
        "pulumi_nothing": {"resource": False},
    }.items():
        (folder / module).mkdir(exist_ok=True)
        (folder / module / "pulumi-plugin.json").write_text(json.dumps(description))
    for distribution in ("third_party-1.2rc3", "pulumi_older-2.0.0", "pulumi_policy-1.0.0", "pulumi-3.272.0"):
        (folder / f"{distribution}.dist-info").mkdir(exist_ok=True)
    found = required_packages(Interpreter(environment / "bin" / "python", environment, None))
    assert [(package.name, package.version, package.server) for package in found] == [
        ("kubernetes", "v4.34.2", ""),
        ("older", "v2.0.0", ""),
        ("other", "v1.2.0-rc.3", "github://api.github.com/x"),
    ]


@pytest.mark.parametrize(
    ("package", "plugin"),
    [
        ("1.0", "1.0.0"),
        ("4.21.4", "4.21.4"),
        ("1.2.3a4", "1.2.3-alpha.4"),
        ("1.2.3b4", "1.2.3-beta.4"),
        ("1.2.3rc4", "1.2.3-rc.4"),
        ("1.2.3.post4.dev5", "1.2.3+post4dev5"),
        ("1!1.0", None),
        ("", None),
    ],
)
def test_versions_of_packages_as_versions_of_plugins(package: str, plugin: str | None) -> None:
    assert plugin_version(package) == plugin


@pytest.fixture
def host() -> Iterator[Any]:
    language_host = LanguageHost("")
    server, port = start_server(
        lambda server: language_pb2_grpc.add_LanguageRuntimeServicer_to_server(language_host, server)
    )
    with grpc.insecure_channel(f"127.0.0.1:{port}", options=CHANNEL_OPTIONS) as channel:
        yield language_pb2_grpc.LanguageRuntimeStub(channel)
    server.stop(grace=None).wait()


@pytest.fixture
def sdk(environment: Path) -> Path:
    """An environment whose `pulumi` package is a few lines: enough to run a program without an engine."""
    runtime = packages_folder(environment) / "pulumi" / "runtime"
    runtime.mkdir(parents=True, exist_ok=True)
    (runtime.parent / "__init__.py").write_text(
        "import sys\nfrom types import SimpleNamespace\n"
        "class RunError(Exception):\n    pass\n"
        "log = SimpleNamespace(error=lambda message: open('said', 'w').write(message))\n"
    )
    (runtime / "__init__.py").write_text(
        "import json, os\nfrom types import SimpleNamespace as Settings\n"
        "get_config_env = lambda: json.loads(os.environ['PULUMI_CONFIG'])\n"
        "get_config_secret_keys_env = lambda: json.loads(os.environ['PULUMI_CONFIG_SECRET_KEYS'])\n"
        "def set_all_config(config, secret_keys):\n    global given\n    given = (config, secret_keys)\n"
        "def configure(settings):\n    global settings_given\n    settings_given = vars(settings)\n"
        "async def run_in_stack(program):\n    program()\n"
    )
    return environment


def run(host: Any, environment: Path, program: Path, source: str) -> Any:
    (program / "__main__.py").write_text(source)
    options = struct_pb2.Struct()
    options["virtualenv"] = str(environment)
    info = language_pb2.ProgramInfo(
        root_directory=str(program), program_directory=str(program), entry_point=".", options=options
    )
    return host.Run(
        language_pb2.RunRequest(
            project="p", stack="s", pwd=str(program), dryRun=True, parallel=3, organization="o",
            config={"p:a": "1"}, configSecretKeys=["p:a"], monitor_address="monitor:1", info=info,
        )
    )  # fmt: skip


@pytest.mark.slow
def test_a_program_gets_its_configuration_and_where_the_engine_is(host: Any, sdk: Path, tmp_path: Path) -> None:
    source = (
        "import json, sys, pulumi.runtime as r\n"
        "json.dump([r.given, r.settings_given, sys.path[0]], open('seen', 'w'))\n"
    )
    answer = run(host, sdk, tmp_path, source)
    assert (answer.error, answer.bail) == ("", False)
    configuration, settings, first_on_path = json.loads((tmp_path / "seen").read_text())
    assert configuration == [{"p:a": "1"}, ["p:a"]]
    assert settings == {
        "monitor": "monitor:1", "engine": None, "project": "p", "stack": "s", "parallel": 3, "dry_run": True,
        "organization": "o", "root_directory": str(tmp_path),
    }  # fmt: skip
    assert first_on_path == ".", "the program's own directory, and nothing of this host's"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("source", "error", "bail", "said"),
    [
        ("import pulumi; raise pulumi.RunError('key: rule')", "exit code: 1", False, "key: rule"),
        ("raise SystemExit(7)", "exit code: 7", False, ""),
        ("def f():\n    return 1 / 0\nf()\n", "", True, "Program failed with an unhandled exception:\nTraceback"),
    ],
)
def test_how_a_program_ends_is_told_as_the_official_host_tells_it(
    host: Any, sdk: Path, tmp_path: Path, source: str, error: str, bail: bool, said: str
) -> None:
    answer = run(host, sdk, tmp_path, source)
    assert (error in answer.error, answer.bail) == (True, bail)
    message = (tmp_path / "said").read_text() if said else ""
    assert message.startswith(said)
    assert "runpy" not in message, "a traceback begins in the program"
    if not bail:
        assert "Traceback" not in message


def test_a_missing_program_is_named(host: Any, sdk: Path, tmp_path: Path) -> None:
    options = struct_pb2.Struct()
    options["virtualenv"] = str(sdk)
    info = language_pb2.ProgramInfo(
        root_directory=str(tmp_path), program_directory=str(tmp_path), entry_point="nowhere", options=options
    )
    answer = host.Run(language_pb2.RunRequest(pwd=str(tmp_path), info=info))
    assert answer.bail
    assert "unable to find main python program" in (tmp_path / "said").read_text()


def test_a_missing_environment_is_an_error_before_anything_runs(host: Any, tmp_path: Path) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        run(host, tmp_path / "nowhere", tmp_path, "")
    assert "doesn't exist; run the following commands" in str(caught.value.details())


@pytest.mark.slow
def test_a_cancelled_run_ends_the_program(host: Any, sdk: Path, tmp_path: Path) -> None:
    (tmp_path / "__main__.py").write_text("import os, time\nopen('pid', 'w').write(str(os.getpid()))\ntime.sleep(60)\n")
    options = struct_pb2.Struct()
    options["virtualenv"] = str(sdk)
    info = language_pb2.ProgramInfo(
        root_directory=str(tmp_path), program_directory=str(tmp_path), entry_point=".", options=options
    )
    call = host.Run.future(language_pb2.RunRequest(pwd=str(tmp_path), info=info))
    process = _wait_for(lambda: (tmp_path / "pid").read_text() if (tmp_path / "pid").exists() else "")
    call.cancel()
    _wait_for(lambda: "gone" if not Path(f"/proc/{process}").exists() else "")


def test_a_plugin_in_python_is_run_with_its_output_and_its_exit_code(host: Any, sdk: Path, tmp_path: Path) -> None:
    (tmp_path / "__main__.py").write_text("import os, sys\nprint(os.environ['X'], sys.argv[1:])\nsys.exit(3)\n")
    options = struct_pb2.Struct()
    options["virtualenv"] = str(sdk)
    info = language_pb2.ProgramInfo(root_directory=str(tmp_path), program_directory=str(tmp_path), options=options)
    answers = list(host.RunPlugin(language_pb2.RunPluginRequest(info=info, args=["a"], env=["X=y"])))
    assert b"".join(answer.stdout for answer in answers) == b"y ['a']\n"
    assert answers[-1].exitcode == 3


def test_a_policy_pack_is_run_by_the_runner_of_the_sdk(host: Any, sdk: Path, tmp_path: Path) -> None:
    policy = packages_folder(sdk) / "pulumi" / "policy"
    policy.mkdir(exist_ok=True)
    (policy / "__main__.py").write_text("import sys\nprint(sys.argv[1:])\n")
    (policy / "__init__.py").touch()
    options = struct_pb2.Struct()
    options["virtualenv"] = str(sdk)
    info = language_pb2.ProgramInfo(root_directory=str(tmp_path), program_directory=str(tmp_path), options=options)
    answers = list(host.RunPlugin(language_pb2.RunPluginRequest(info=info, kind="analyzer", args=["engine:1"])))
    assert b"".join(answer.stdout for answer in answers).decode() == f"{['engine:1', str(tmp_path)]}\n"
    assert answers[-1].exitcode == 0


def test_what_it_does_not_do_it_says(host: Any) -> None:
    for method, request in (
        (host.GeneratePackage, language_pb2.GeneratePackageRequest()),
        (host.Pack, language_pb2.PackRequest()),
    ):
        with pytest.raises(grpc.RpcError) as caught:
            method(request)
        assert caught.value.code() == grpc.StatusCode.UNIMPLEMENTED
        assert "install the official Pulumi CLI" in str(caught.value.details())


def test_its_version_is_the_engines(host: Any) -> None:
    from google.protobuf import empty_pb2

    assert host.GetPluginInfo(empty_pb2.Empty()).version == VERSION


def _wait_for(look: Any, seconds: float = 10) -> str:
    import time

    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found = look()
        if found:
            return str(found)
        time.sleep(0.02)
    raise AssertionError("did not happen in time")
