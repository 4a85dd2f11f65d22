"""A stand-in of the hub: the part of its HTTP interface that push and pull use, in memory.

It answers as the public service does: the creation of repositories, the check of a card's head,
the preupload, commits, information on a repository, its tree, and its files. All files are
``regular``, inside the commit; the service stores large ones elsewhere.
"""

import base64
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha1
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from urllib.parse import unquote, urlsplit

import yaml

TOKEN = "hf_of_the_test"  # noqa: S105


@dataclass
class Repository:
    """A repository: its files after every commit, the newest last."""

    private: bool = False
    commits: list[dict[str, bytes]] = field(default_factory=lambda: [{}])
    messages: list[str] = field(default_factory=list)

    @property
    def files(self) -> dict[str, bytes]:
        return self.commits[-1]

    def at(self, revision: str) -> dict[str, bytes] | None:
        """Return the files of ``main`` or of a commit."""
        known = {commit_id(i): files for i, files in enumerate(self.commits)}
        return self.files if revision == "main" else known.get(revision)


def commit_id(index: int) -> str:
    """Return the name of a commit, 40 digits as in Git."""
    return sha1(str(index).encode(), usedforsecurity=False).hexdigest()


class StandIn(ThreadingHTTPServer):
    """The server; ``repositories`` is its state."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.repositories: dict[str, Repository] = {}
        self.fails_with: int | None = None

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


@contextmanager
def serving() -> Iterator[StandIn]:
    """Serve in a thread until the end of the context."""
    server = StandIn()
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class Handler(BaseHTTPRequestHandler):
    server: StandIn
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        """Print nothing."""

    def answer(
        self, value: Any = None, code: int = 200, body: bytes | None = None, **headers: str
    ) -> None:
        content = json.dumps(value).encode() if body is None else body
        self.send_response(code)
        for name, text in headers.items():
            self.send_header(name.replace("_", "-"), text)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    @property
    def may_write(self) -> bool:
        return self.headers.get("Authorization") == f"Bearer {TOKEN}"

    def repository(self, parts: list[str]) -> Repository | None:
        """Return the repository of a path; None after an answer that there is none."""
        found = self.server.repositories.get("/".join(parts[:2]))
        if found is None or (found.private and not self.may_write):
            code = 404 if self.may_write else 401
            self.answer({"error": "Repository not found"}, code, X_Error_Code="RepoNotFound")
            return None
        return found

    def files(self, found: Repository, revision: str) -> dict[str, bytes] | None:
        files = found.at(revision)
        if files is None:
            self.answer({"error": "Invalid rev id"}, 404, X_Error_Code="RevisionNotFound")
        return files

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        parts = [unquote(part) for part in urlsplit(self.path).path.split("/") if part]
        if self.server.fails_with is not None:
            return self.answer({"error": "out of order"}, self.server.fails_with)
        if parts == ["api", "validate-yaml"]:
            return self.validated(json.loads(body)["content"])
        if not self.may_write:
            return self.answer({"error": "Invalid username or password."}, 401)
        if parts == ["api", "repos", "create"]:
            return self.created(json.loads(body))
        found = self.repository(parts[2:])
        if found is None:
            return None
        if parts[4] == "preupload":
            known = [
                {"path": f["path"], "uploadMode": "regular", "shouldIgnore": False}
                for f in json.loads(body)["files"]
            ]
            return self.answer({"files": known})
        return self.committed(found, "/".join(parts[2:4]), body)

    def validated(self, card: str) -> None:
        head = yaml.safe_load(card.split("---\n")[1])
        errors = [] if head.get("license") else [{"message": '"license" is required'}]
        self.answer({"errors": errors, "warnings": []}, 400 if errors else 200)

    def created(self, asked: dict[str, Any]) -> None:
        name = f"{asked.get('organization') or 'me'}/{asked['name']}"
        if name.startswith("other/"):
            return self.answer({"error": "no rights in this namespace"}, 403)
        url = {"url": f"{self.server.address}/{name}", "id": name, "name": name}
        if name in self.server.repositories:
            return self.answer({"error": "You already created this repo", **url}, 409)
        private = asked.get("visibility") == "private" or bool(asked.get("private"))
        self.server.repositories[name] = Repository(private)
        return self.answer(url)

    def committed(self, found: Repository, name: str, body: bytes) -> None:
        files = dict(found.files)
        for line in map(json.loads, body.splitlines()):
            value = line["value"]
            if line["key"] == "header":
                found.messages.append(value["summary"])
            elif line["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "deletedFile":
                del files[value["path"]]
        found.commits.append(files)
        sha = commit_id(len(found.commits) - 1)
        url = f"{self.server.address}/{name}/commit/{sha}"
        self.answer({"commitUrl": url, "commitOid": sha, "success": True})

    def do_GET(self) -> None:
        parts = [unquote(part) for part in urlsplit(self.path).path.split("/") if part]
        if self.server.fails_with is not None:
            return self.answer({"error": "out of order"}, self.server.fails_with)
        is_api = parts[:2] == ["api", "models"]
        parts = parts[2:] if is_api else parts
        found = self.repository(parts)
        if found is None:
            return None
        kind, revision = (*parts[2:4], "main", "main")[:2] if len(parts) > 3 else ("", "main")
        files = self.files(found, revision)
        if files is None:
            return None
        if is_api and kind == "tree":
            entries = [
                {"type": "file", "path": p, "size": len(c), "oid": blob_id(c)}
                for p, c in files.items()
            ]
            return self.answer(entries, Content_Type="application/json")
        if is_api:
            at = next(i for i, known in enumerate(found.commits) if known is files)
            siblings = [{"rfilename": path} for path in files]
            name = "/".join(parts[:2])
            return self.answer(
                {
                    "_id": "1",
                    "id": name,
                    "sha": commit_id(at),
                    "private": found.private,
                    "siblings": siblings,
                }
            )
        content = files["/".join(parts[4:])]
        return self.answer(
            body=content, ETag=f'"{blob_id(content)}"', X_Repo_Commit=revision, Accept_Ranges="none"
        )

    do_HEAD = do_GET


def blob_id(content: bytes) -> str:
    """Return the name of a file's content in Git."""
    return sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()
