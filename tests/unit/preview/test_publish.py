"""One comment and one issue for each stack, created once and then edited, against a server that answers as GitHub
does."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from operations.preview.environments import ROOT
from operations.preview.markdown import marker
from operations.preview.publish import (
    GitHub,
    PublishError,
    main,
    publish_comment,
    publish_issue,
    withdraw_comments,
)

pytestmark = pytest.mark.unit

TOKEN = "ghs_of-the-test"
BOT = "github-actions[bot]"
REPOSITORY = "/repos/acme/graph"


class Server:
    """The comments of pull request 7 and the issues of one repository, in the form of GitHub's REST API."""

    def __init__(self) -> None:
        self.comments: list[dict[str, Any]] = []
        self.issues: list[dict[str, Any]] = []
        self.writes: list[str] = []
        self.next_page_elsewhere = False
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                server.answer(self, None)

            def do_POST(self) -> None:
                server.answer(self, json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

            do_PATCH = do_POST

            def log_message(self, *arguments: object) -> None:
                pass

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self._http.server_address[1]}"
        threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def stop(self) -> None:
        self._http.shutdown()
        self._http.server_close()

    def answer(self, request: BaseHTTPRequestHandler, body: dict[str, Any] | None) -> None:
        if request.headers["Authorization"] != f"Bearer {TOKEN}":
            return self._send(request, 401, {"message": "Bad credentials"})
        parts = urlsplit(request.path)
        path, query = parts.path.removeprefix(REPOSITORY), parse_qs(parts.query)
        if request.command != "GET":
            self.writes.append(f"{request.command} {path}")
        if body is not None and len(body.get("body", "")) > 65_536:
            return self._send(request, 422, {"message": "Validation Failed: body is too long"})
        if (request.command, path) == ("GET", "/issues/7/comments"):
            return self._page(request, self.comments, query)
        if (request.command, path) == ("POST", "/issues/7/comments"):
            self.comments.append({"id": 100 + len(self.comments), "user": {"login": BOT}, "body": (body or {})["body"]})
            return self._send(request, 201, self.comments[-1])
        if (request.command, path) == ("GET", "/issues"):
            wanted = [
                one for one in self.issues if one["state"] == query["state"][0] and query["labels"][0] in one["labels"]
            ]
            return self._page(request, wanted, query)
        if (request.command, path) == ("POST", "/issues"):
            self.issues.append({"number": 1 + len(self.issues), "state": "open", **(body or {})})
            return self._send(request, 201, self.issues[-1])
        for collection, prefix, key in (
            (self.comments, "/issues/comments/", "id"),
            (self.issues, "/issues/", "number"),
        ):
            for one in collection:
                if (request.command, path) == ("PATCH", f"{prefix}{one[key]}"):
                    one.update(body or {})
                    return self._send(request, 200, one)
        return self._send(request, 404, {"message": "Not Found"})

    def _page(self, request: BaseHTTPRequestHandler, items: list[Any], query: dict[str, list[str]]) -> None:
        size, number = int(query["per_page"][0]), int(query.get("page", ["1"])[0])
        headers = {}
        if number * size < len(items):
            home = "http://elsewhere.invalid" if self.next_page_elsewhere else self.address
            path = urlsplit(request.path).path
            headers["Link"] = f'<{home}{path}?per_page={size}&page={number + 1}>; rel="next", <x>; rel="last"'
        self._send(request, 200, items[(number - 1) * size : number * size], headers)

    def _send(
        self, request: BaseHTTPRequestHandler, status: int, body: Any, headers: dict[str, str] | None = None
    ) -> None:
        request.send_response(status)
        for name, value in (headers or {}).items():
            request.send_header(name, value)
        request.end_headers()
        request.wfile.write(json.dumps(body).encode())


@pytest.fixture
def server() -> Iterator[Server]:
    running = Server()
    yield running
    running.stop()


@pytest.fixture
def github(server: Server) -> GitHub:
    return GitHub("acme/graph", TOKEN, server.address)


def body(stack: str, text: str) -> str:
    return f"{marker(stack)}\n{text}\n"


def test_a_comment_is_made_once_and_then_edited(server: Server, github: GitHub) -> None:
    assert publish_comment(github, 7, body("dev", "one"), BOT) == "made"
    assert publish_comment(github, 7, body("dev", "two"), BOT) == "edited"
    assert publish_comment(github, 7, body("dev", "two"), BOT) == "unchanged"
    assert [one["body"] for one in server.comments] == [body("dev", "two")]
    assert server.writes == ["POST /issues/7/comments", "PATCH /issues/comments/100"]


def test_each_stack_has_its_own_comment(server: Server, github: GitHub) -> None:
    publish_comment(github, 7, body("dev", "one"), BOT)
    publish_comment(github, 7, body("prod", "two"), BOT)
    publish_comment(github, 7, body("dev", "three"), BOT)
    assert [one["body"] for one in server.comments] == [body("dev", "three"), body("prod", "two")]


def test_a_comment_is_found_behind_a_hundred_others(server: Server, github: GitHub) -> None:
    server.comments = [{"id": at, "user": {"login": "someone"}, "body": "talk"} for at in range(250)]
    server.comments.append({"id": 900, "user": {"login": BOT}, "body": body("dev", "old")})
    assert publish_comment(github, 7, body("dev", "new"), BOT) == "edited"
    assert server.comments[-1]["body"] == body("dev", "new")


def test_somebody_elses_marker_is_not_ours(server: Server, github: GitHub) -> None:
    server.comments = [
        {"id": 1, "user": {"login": "mallory"}, "body": body("dev", "all is well")},
        {"id": 2, "user": {"login": BOT}, "body": f"quoted:\n{marker('dev')}"},
        {"id": 3, "user": {"login": BOT}, "body": None},
        {"id": 4, "user": None, "body": body("dev", "of an account that was deleted")},
    ]
    assert publish_comment(github, 7, body("dev", "red"), BOT) == "made"
    assert [one["id"] for one in server.comments] == [1, 2, 3, 4, 104]
    assert withdraw_comments(github, 7, ["dev"], BOT) == []


def test_what_was_said_of_a_stack_is_taken_back_once_the_change_touches_it_no_more(
    server: Server, github: GitHub
) -> None:
    server.comments = [{"id": 1, "user": {"login": "someone"}, "body": body("prod", "red")}]
    publish_comment(github, 7, body("dev", "one"), BOT)
    publish_comment(github, 7, body("prod", "red"), BOT)
    assert withdraw_comments(github, 7, ["dev"], BOT) == ["prod"]
    said = [one["body"].splitlines() for one in server.comments]
    assert said[:2] == [[marker("prod"), "red"], [marker("dev"), "one"]]
    assert said[2][:2] == [marker("prod"), "### ⚪ `prod`: no preview any more"]
    # The comment is withdrawn once; it comes back with the next preview.
    assert withdraw_comments(github, 7, ["dev"], BOT) == []
    assert publish_comment(github, 7, body("prod", "green"), BOT) == "edited"
    assert withdraw_comments(github, 7, ["prod", "dev"], BOT) == []
    assert server.comments[2]["body"] == body("prod", "green")
    assert withdraw_comments(github, 7, [], BOT) == ["dev", "prod"]


@pytest.mark.parametrize("stacks", ["", "{}", "dev"])
def test_comments_are_not_taken_back_for_want_of_a_list(
    stacks: str, server: Server, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("GITHUB_TOKEN", TOKEN)
    arguments = ["--repository", "acme/graph", "--api", server.address, "withdraw", "--number", "7"]
    assert main([*arguments, "--stacks", stacks]) == 1
    assert "--stacks: is no JSON list" in capsys.readouterr().err
    assert server.writes == []


def test_the_token_goes_to_nobody_else(server: Server, github: GitHub) -> None:
    server.comments = [{"id": at, "user": {"login": "x"}, "body": ""} for at in range(150)]
    server.next_page_elsewhere = True
    with pytest.raises(PublishError, match="the token is not sent there"):
        publish_comment(github, 7, body("dev", "x"), BOT)
    assert server.writes == []


def test_a_text_without_a_marker_is_not_published(github: GitHub) -> None:
    with pytest.raises(PublishError, match="no marker"):
        publish_comment(github, 7, "hello\n", BOT)


def test_what_github_refuses_is_told(github: GitHub, server: Server) -> None:
    with pytest.raises(PublishError, match=r"GitHub answered 422: .*too long"):
        publish_comment(github, 7, body("dev", "x" * 70_000), BOT)
    with pytest.raises(PublishError, match="GitHub answered 401"):
        publish_comment(GitHub("acme/graph", "other", server.address), 7, body("dev", "x"), BOT)
    with pytest.raises(PublishError, match="not owner/name"):
        GitHub("acme/graph/../x", TOKEN, server.address)


def test_an_issue_is_made_edited_and_closed(server: Server, github: GitHub) -> None:
    # GitHub lists pull requests among the issues.
    other = {
        "number": 90,
        "title": "The stack dev",
        "state": "open",
        "labels": ["drift"],
        "pull_request": {},
        "body": "",
    }
    server.issues.append(other)
    assert publish_issue(github, "The stack dev", None, "drift") == "nothing to do"
    server.issues.remove(other)
    assert publish_issue(github, "The stack dev", "one", "drift") == "made"
    assert publish_issue(github, "The stack prod", "other", "drift") == "made"
    assert publish_issue(github, "The stack dev", "two", "drift") == "edited"
    assert publish_issue(github, "The stack dev", None, "drift") == "closed"
    assert [(one["title"], one["body"], one["state"]) for one in server.issues] == [
        ("The stack dev", "two", "closed"),
        ("The stack prod", "other", "open"),
    ]
    assert publish_issue(github, "The stack dev", "again", "drift") == "made"
    assert len(server.issues) == 3


@pytest.mark.slow
def test_it_runs_with_python_alone(server: Server, tmp_path: Path) -> None:
    """As in the workflow: nothing installed; token and repository come from the environment."""
    (tmp_path / "comment.md").write_text(body("dev", "from the command line"))
    done = subprocess.run(
        [
            sys.executable,
            "-S",
            *["-m", "operations.preview.publish", "comment", "--number", "7", "--body"],
            tmp_path / "comment.md",
        ],
        cwd=ROOT,
        env={"GITHUB_TOKEN": TOKEN, "GITHUB_REPOSITORY": "acme/graph", "GITHUB_API_URL": server.address},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "made\n", "")
    assert server.comments[0]["body"] == body("dev", "from the command line")


def test_without_a_token_nothing_is_tried(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.delenv("GITHUB_TOKEN", raising=False)
    assert main(["--repository", "acme/graph", "issue", "--title", "absent"]) == 1
    assert capsys.readouterr().err == "error: GITHUB_TOKEN is not set\n"
