"""Puts a comment on a pull request, or maintains one issue: the only part that writes to GitHub.

Needs only Python and a token in GITHUB_TOKEN: `python3 -m operations.preview.publish comment|withdraw|issue --help`. So
the job with the token installs nothing, and runs no code of the pull request.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from operations.preview.markdown import marker

_SECONDS = 30
_PAGE = 100
_NEXT = re.compile(r'<([^>]+)>;\s*rel="next"')
_MARKER = re.compile(r"<!-- teleport-access-graph preview: ([A-Za-z0-9._/-]+) -->")
_WITHDRAWN = (
    "The change touches nothing of this environment now. If it takes the environment's configuration away, the stack "
    "stays as it is, and nobody looks at it from then on: `destroy` it before."
)


class PublishError(Exception):
    """GitHub refused, or nothing can be published; the text says why and what to do."""


class GitHub:
    """The calls of GitHub's REST API that are needed here, for one repository (`owner/name`)."""

    def __init__(self, repository: str, token: str, address: str) -> None:
        if not re.fullmatch(r"[A-Za-z0-9._-]+/[A-Za-z0-9._-]+", repository):
            raise PublishError(f"--repository: {repository!r} is not owner/name")
        self._address = address.rstrip("/")
        self._token = token
        self._repository = f"{self._address}/repos/{repository}"

    def all(self, path: str, **query: str) -> Iterator[dict[str, Any]]:
        """Every item of a list, from all pages."""
        address: str | None = f"{self._repository}{path}?{urllib.parse.urlencode({**query, 'per_page': str(_PAGE)})}"
        while address is not None:
            items, headers = self._request("GET", address)
            yield from items
            following = _NEXT.search(headers.get("Link") or "")
            address = following.group(1) if following else None
            if address is not None and not address.startswith(f"{self._address}/"):
                raise PublishError("GitHub's next page is somewhere else; the token is not sent there")

    def send(self, method: str, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        answer, _ = self._request(method, f"{self._repository}{path}", body)
        found: dict[str, Any] = answer
        return found

    def _request(self, method: str, address: str, body: Mapping[str, Any] | None = None) -> tuple[Any, Any]:
        request = urllib.request.Request(
            address,
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={
                "Accept": "application/vnd.github+json",
                "Authorization": f"Bearer {self._token}",
                "Content-Type": "application/json",
                "X-GitHub-Api-Version": "2022-11-28",
            },
        )
        try:
            with urllib.request.urlopen(request, timeout=_SECONDS) as answer:
                return json.load(answer), answer.headers
        except urllib.error.HTTPError as error:
            detail = error.read(2000).decode(errors="replace")
            raise PublishError(f"{method} {address}: GitHub answered {error.code}: {detail}") from None
        except (OSError, ValueError) as error:
            raise PublishError(f"{method} {address}: {error}") from None


def publish_comment(github: GitHub, number: int, body: str, author: str) -> str:
    """Edit the comment with the same first line, or create it; returns what was done.

    Only `author`'s comments count: the marker is no secret, and anybody can write one.
    """
    marker = body.split("\n", 1)[0]
    if not _MARKER.fullmatch(marker):
        raise PublishError("the comment has no marker in its first line: make it with `python -m operations comment`")
    for comment in github.all(f"/issues/{number}/comments"):
        if _is_of(comment, author) and (comment["body"] or "").split("\n", 1)[0].strip() == marker:
            if comment["body"] == body:
                return "unchanged"
            github.send("PATCH", f"/issues/comments/{comment['id']}", {"body": body})
            return "edited"
    github.send("POST", f"/issues/{number}/comments", {"body": body})
    return "made"


def withdraw_comments(github: GitHub, number: int, stacks: Iterable[str], author: str) -> list[str]:
    """Replace `author`'s comments about stacks that are not in `stacks`, because the change no longer touches them.
    Returns the stacks whose comments were edited, by their markers."""
    previewed = {marker(stack) for stack in stacks}
    withdrawn = []
    for comment in list(github.all(f"/issues/{number}/comments")):
        first = (comment["body"] or "").split("\n", 1)[0].strip()
        found = _MARKER.fullmatch(first)
        if not _is_of(comment, author) or found is None or first in previewed:
            continue
        body = f"{first}\n### ⚪ `{found.group(1)}`: no preview any more\n\n{_WITHDRAWN}\n"
        if comment["body"].strip() != body.strip():
            github.send("PATCH", f"/issues/comments/{comment['id']}", {"body": body})
            withdrawn.append(found.group(1))
    return withdrawn


def _is_of(comment: Mapping[str, Any], author: str) -> bool:
    # GitHub has null for an account that was deleted.
    return (comment["user"] or {}).get("login") == author


def publish_issue(github: GitHub, title: str, body: str | None, label: str) -> str:
    """Maintain one open issue with that title and label: create it, edit it, or without `body` close it. Returns what
    was done."""
    found = [
        issue
        for issue in github.all("/issues", state="open", labels=label)
        if issue["title"] == title and "pull_request" not in issue
    ]
    if body is None:
        for issue in found:
            github.send("PATCH", f"/issues/{issue['number']}", {"state": "closed", "state_reason": "completed"})
        return "closed" if found else "nothing to do"
    if found:
        github.send("PATCH", f"/issues/{found[0]['number']}", {"body": body})
        return "edited"
    github.send("POST", "/issues", {"title": title, "body": body, "labels": [label]})
    return "made"


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code 0 when GitHub accepted it, else 1 with one message."""
    options = _parser().parse_args(arguments)
    try:
        token = os.environ.get("GITHUB_TOKEN", "")
        if not token:
            raise PublishError("GITHUB_TOKEN is not set")
        github = GitHub(options.repository, token, options.api)
        if options.what == "comment":
            print(publish_comment(github, options.number, options.body.read_text(), options.author))
        elif options.what == "withdraw":
            done = withdraw_comments(github, options.number, _stacks(options.stacks), options.author)
            print(f"withdrawn: {', '.join(done)}" if done else "nothing to do")
        else:
            body = options.body.read_text() if options.body is not None else None
            print(publish_issue(github, options.title.read_text().strip(), body, options.label))
    except (PublishError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def _stacks(text: str) -> list[str]:
    try:
        stacks = json.loads(text)
    except ValueError:
        stacks = None
    if not isinstance(stacks, list):
        raise PublishError("--stacks: is no JSON list; give what `python3 -m operations.preview.environments` printed")
    return [str(stack) for stack in stacks]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python3 -m operations.preview.publish")
    parser.add_argument("--repository", default=os.environ.get("GITHUB_REPOSITORY", ""), help="owner/name")
    parser.add_argument("--api", default=os.environ.get("GITHUB_API_URL", "https://api.github.com"))
    commands = parser.add_subparsers(dest="what", required=True)
    comment = commands.add_parser("comment", help="the one comment of a stack on a pull request")
    comment.add_argument("--number", type=int, required=True, help="of the pull request")
    comment.add_argument("--body", type=Path, required=True, help="file of `python -m operations comment`")
    comment.add_argument("--author", default="github-actions[bot]", help="whose comments are ours")
    withdraw = commands.add_parser("withdraw", help="what comments say of stacks that have no preview any more")
    withdraw.add_argument("--number", type=int, required=True, help="of the pull request")
    withdraw.add_argument("--stacks", required=True, help="that have one, as a JSON list")
    withdraw.add_argument("--author", default="github-actions[bot]", help="whose comments are ours")
    issue = commands.add_parser("issue", help="the one issue of a stack that is not what it should be")
    issue.add_argument("--title", type=Path, required=True, help="file with the title")
    issue.add_argument("--body", type=Path, help="file with the text; without it an open issue is closed")
    issue.add_argument("--label", default="drift")
    return parser


if __name__ == "__main__":
    sys.exit(main())
