"""A stand-in for the Hub: what its HTTP API answers to a push and to a pull, on 127.0.0.1, from memory.

    with running() as hub:
        hub.connect(monkeypatch, tmp_path / "cache")  # this process, and those that it starts

It records the requests. Large files go by LFS (`HF_HUB_DISABLE_XET=1`: a client with xet needs more than this),
`.gitignore` is enforced, writing needs a token.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fnmatch import fnmatch
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit

import pytest
import yaml

TOKEN = "hf_double"
LARGE = 10_000_000
ADDRESS = "{repo_id}/resolve/{revision}/{filename}"
REPO = r"(?P<kind>models|datasets|spaces)/(?P<repo>[\w.-]+/[\w.-]+)"
# How the addresses of files and of LFS begin: models have no prefix.
FILES = r"/(?:(?P<kind>datasets|spaces)/)?(?P<repo>[\w.-]+/[\w.-]+)"


class Answer(NamedTuple):
    """Status, body, and further headers."""

    status: int
    body: bytes = b""
    headers: dict[str, str] = {}


class Repository:
    """Commits of one repository, oldest first: identifier and files."""

    def __init__(self, settings: dict[str, Any]) -> None:
        self.settings = settings
        self.large: set[str] = set()
        self.commits: list[tuple[str, dict[str, bytes]]] = []
        self.commit({})

    @property
    def files(self) -> dict[str, bytes]:
        return self.commits[-1][1]

    def commit(self, files: dict[str, bytes]) -> str:
        hashes = sorted((path, _git_hash(content)) for path, content in files.items())
        digest = hashlib.sha1(repr((len(self.commits), hashes)).encode()).hexdigest()
        self.commits.append((digest, files))
        return digest

    def at(self, revision: str) -> tuple[str, dict[str, bytes]] | None:
        if revision == "main":
            return self.commits[-1]
        return next((commit for commit in self.commits if commit[0] == revision), None)


class HubDouble:
    """The server.

    Attributes:
        endpoint: its address, for `HF_ENDPOINT`.
        repositories: by kind (`models`, `datasets`, `spaces`) and name.
        requests: `METHOD /path` of each request, in their order.
    """

    def __init__(self) -> None:
        self.repositories: dict[tuple[str, str], Repository] = {}
        self.objects: dict[str, bytes] = {}
        self.requests: list[str] = []
        double = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                path = unquote(urlsplit(self.path).path)
                double.requests.append(f"{self.command} {path}")
                authorised = self.headers.get("Authorization") == f"Bearer {TOKEN}"
                status, content, headers = double.handle(self.command, path, body, authorised)
                self.send_response(status)
                for name, value in {"Content-Length": str(len(content)), **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(content)

            do_GET = do_HEAD = do_POST = do_PUT = answer

            def log_message(self, *args: Any) -> None:
                """Nothing: the requests are recorded."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.endpoint = f"http://127.0.0.1:{self.server.server_port}"

    @property
    def environment(self) -> dict[str, str]:
        """What makes a fresh process take the double for the Hub."""
        settings = {"HF_ENDPOINT": self.endpoint, "HF_HUB_DISABLE_XET": "1", "HF_TOKEN": TOKEN}
        return {**settings, "HF_HUB_OFFLINE": "0", "HF_DATASETS_OFFLINE": "0"}

    def connect(self, monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
        """Make this process, which has read its environment long ago, take the double for the Hub; new ones too."""
        for name, value in {**self.environment, "HF_HOME": str(cache)}.items():
            monkeypatch.setenv(name, value)
        for name, setting in {
            "huggingface_hub.constants.ENDPOINT": self.endpoint,
            "huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE": f"{self.endpoint}/{ADDRESS}",
            "huggingface_hub.constants.HF_HUB_DISABLE_XET": True,
            "huggingface_hub.constants.HF_HUB_OFFLINE": False,
            "huggingface_hub.constants.HF_HUB_CACHE": str(cache / "hub"),
            "datasets.config.HF_ENDPOINT": self.endpoint,
            "datasets.config.HF_HUB_OFFLINE": False,
            "datasets.config.HF_DATASETS_CACHE": cache / "datasets",
        }.items():
            monkeypatch.setattr(name, setting)
        # One object for the whole process, which remembers the address; older versions have none.
        monkeypatch.setattr("transformers.utils.hub._hf_api", None, raising=False)

    def handle(self, method: str, path: str, body: bytes, authorised: bool) -> Answer:
        routes: list[tuple[str, str, Callable[..., Answer]]] = [
            ("POST", r"/api/repos/create", self.create),
            ("POST", r"/api/validate-yaml", self.validate),
            ("POST", rf"/api/{REPO}/preupload/(?P<revision>[^/]+)", self.preupload),
            ("POST", rf"/api/{REPO}/commit/(?P<revision>[^/]+)", self.commit),
            ("POST", rf"{FILES}\.git/info/lfs/objects/batch", self.lfs_batch),
            ("PUT", r"/lfs/(?P<oid>[0-9a-f]{64})", self.lfs_upload),
            ("GET", rf"/api/{REPO}(?:/revision/(?P<revision>[^/]+))?", self.info),
            ("GET", rf"/api/{REPO}/tree/(?P<revision>[^/]+)(?:/(?P<folder>.+))?", self.tree),
            ("GET", rf"{FILES}/resolve/(?P<revision>[^/]+)/(?P<file>.+)", self.resolve),
        ]
        writes = method == "POST" and path != "/api/validate-yaml"
        if writes and not authorised:
            return Answer(401, b'{"error": "no token"}')
        for verb, pattern, answer in routes:
            if (verb == method or (verb, method) == ("GET", "HEAD")) and (found := re.fullmatch(pattern, path)):
                return answer(body, **found.groupdict())
        return Answer(404, b'{"error": "the double does not know this address"}')

    # --- writing

    def create(self, body: bytes) -> Answer:
        settings = json.loads(body)
        kind = f"{settings.get('type', 'model')}s"
        name = f"{settings.get('organization') or 'user'}/{settings['name']}"
        prefix = "" if kind == "models" else f"{kind}/"
        answer = _json({"url": f"{self.endpoint}/{prefix}{name}"})
        if (kind, name) in self.repositories:
            return answer._replace(status=409)
        self.repositories[kind, name] = Repository(settings)
        return answer

    def validate(self, body: bytes) -> Answer:
        """The Hub's rules for metadata that a card can break here."""
        front = json.loads(body)["content"].split("---")[1]
        results = [r for model in yaml.safe_load(front).get("model-index", []) for r in model["results"]]
        names = [result["dataset"]["type"] for result in results]
        wrong = [name for name in names if not re.fullmatch(r"(?:[\w-]+/)?[\w.-]+", name)]
        return Answer(400, f"dataset.type {wrong}".encode()) if wrong else _json({"errors": [], "warnings": []})

    def preupload(self, body: bytes, kind: str, repo: str, revision: str) -> Answer:
        request, repository = json.loads(body), self.repositories[kind, repo]
        rules = request.get("gitIgnore") or repository.files.get(".gitignore", b"").decode()
        files = []
        for file in request["files"]:
            path = file["path"]
            large = path.endswith(".safetensors") or file["size"] > LARGE
            if large:
                repository.large.add(path)
            mode = "lfs" if large else "regular"
            files.append({"path": path, "uploadMode": mode, "shouldIgnore": _ignored(path, rules)})
        return _json({"files": files})

    def lfs_batch(self, body: bytes, kind: str | None, repo: str) -> Answer:
        objects = []
        for wanted in json.loads(body)["objects"]:
            href = f"{self.endpoint}/lfs/{wanted['oid']}"
            known = wanted["oid"] in self.objects
            objects.append({**wanted, **({} if known else {"actions": {"upload": {"href": href}}})})
        return _json({"transfer": "basic", "objects": objects})

    def lfs_upload(self, body: bytes, oid: str) -> Answer:
        if hashlib.sha256(body).hexdigest() != oid:
            return Answer(400)
        self.objects[oid] = body
        return Answer(200)

    def commit(self, body: bytes, kind: str, repo: str, revision: str) -> Answer:
        repository = self.repositories[kind, repo]
        files = dict(repository.files)
        for line in body.splitlines():
            item = json.loads(line)
            value = item["value"]
            if item["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif item["key"] == "lfsFile":
                files[value["path"]] = self.objects[value["oid"]]
            elif item["key"] == "deletedFile":
                del files[value["path"]]
        digest = repository.commit(files)
        return _json({"commitUrl": f"{self.endpoint}/{repo}/commit/{digest}", "commitOid": digest, "success": True})

    # --- reading

    def info(self, body: bytes, kind: str, repo: str, revision: str | None) -> Answer:
        found = self._at(kind, repo, revision or "main")
        if found is None:
            return _not_found("RepoNotFound")
        settings = self.repositories[kind, repo].settings
        private = settings.get("visibility") == "private" or bool(settings.get("private"))
        siblings = [{"rfilename": path} for path in found[1]]
        return _json({"id": repo, "sha": found[0], "siblings": siblings, "tags": [], "private": private})

    def tree(self, body: bytes, kind: str, repo: str, revision: str, folder: str | None) -> Answer:
        found = self._at(kind, repo, revision)
        if found is None:
            return _not_found("RevisionNotFound")
        files = {path: content for path, content in found[1].items() if not folder or path.startswith(f"{folder}/")}
        if folder and not files:
            return _not_found("EntryNotFound")
        entries = [{"type": "file", "path": p, "size": len(c), "oid": _git_hash(c)} for p, c in files.items()]
        return _json(entries)

    def resolve(self, body: bytes, kind: str | None, repo: str, revision: str, file: str) -> Answer:
        found = self._at(kind or "models", repo, revision)
        if found is None:
            return _not_found("RepoNotFound")
        commit, files = found
        if file not in files:
            answer = _not_found("EntryNotFound")
            return answer._replace(headers={**answer.headers, "X-Repo-Commit": commit})
        content = files[file]
        large = file in self.repositories[kind or "models", repo].large
        digest = hashlib.sha256(content).hexdigest() if large else _git_hash(content)
        linked = {"X-Linked-Etag": f'"{digest}"', "X-Linked-Size": str(len(content))} if large else {}
        return Answer(200, content, {"ETag": f'"{digest}"', "X-Repo-Commit": commit, **linked})

    def _at(self, kind: str, repo: str, revision: str) -> tuple[str, dict[str, bytes]] | None:
        repository = self.repositories.get((kind, repo))
        return repository.at(revision) if repository else None


def _json(value: Any) -> Answer:
    return Answer(200, json.dumps(value).encode(), {"Content-Type": "application/json"})


def _not_found(code: str) -> Answer:
    return Answer(404, b"{}", {"X-Error-Code": code, "X-Error-Message": code, "Content-Type": "application/json"})


def _git_hash(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def _ignored(path: str, rules: str) -> bool:
    """Whether a line of a `.gitignore` matches: a name, or a folder at the top if it ends with a slash."""
    lines = [line.strip() for line in rules.splitlines() if line.strip() and not line.startswith("#")]
    return any(
        fnmatch(path, f"{rule}*") if rule.endswith("/") else fnmatch(path.split("/")[-1], rule) for rule in lines
    )


@contextmanager
def running() -> Iterator[HubDouble]:
    """A double that answers until the end of the block."""
    double = HubDouble()
    thread = threading.Thread(target=double.server.serve_forever, daemon=True)
    thread.start()
    try:
        yield double
    finally:
        double.server.shutdown()
        double.server.server_close()
        thread.join()
