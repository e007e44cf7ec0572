"""A server that speaks the part of the Hugging Face Hub's API that an upload of a data set needs.

It stores what it is sent, both ways: LFS objects by HTTP PUT, with their bytes, and Xet, whose blocks it takes without
unpacking them, so that of those only sizes and hashes are known. `answers` overrides the status of single paths.
"""

import base64
import hashlib
import json
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

TOKEN = "hf_secret_of_the_test"
COMMIT = "c" * 40


class Hub:
    """What the server holds, and what it was asked."""

    def __init__(self) -> None:
        self.repositories: dict[str, dict[str, Any]] = {}
        self.files: dict[str, dict[str, Any]] = {}  # of the one repository that a test has: oid, size, content
        self.objects: dict[str, bytes] = {}  # of LFS, by SHA-256
        self.blocks: list[int] = []  # bytes of each Xet block
        self.cards: list[str] = []  # front matter with text, as the Hub was asked to validate it
        self.requests: list[str] = []
        self.tokens: set[str | None] = set()
        self.refused: dict[str, tuple[int, int]] = {}  # pattern of a path: status, how often
        self.address = ""


def _handler(hub: Hub) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: Any) -> None:
            pass

        def answer(self, value: Any = None, status: int = 200) -> None:
            body = b"" if value is None else json.dumps(value).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def body(self) -> bytes:
            if self.headers.get("Transfer-Encoding") == "chunked":
                parts = []
                while size := int(self.rfile.readline().split(b";")[0], 16):
                    parts.append(self.rfile.read(size))
                    self.rfile.readline()
                self.rfile.readline()
                return b"".join(parts)
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))

        def handle_any(self) -> None:
            path, sent = self.path.partition("?")[0], self.body()
            hub.requests.append(f"{self.command} {path}")
            if path.startswith(("/api", "/datasets")):
                hub.tokens.add(self.headers.get("Authorization"))
            for pattern, (status, times) in hub.refused.items():
                if times and re.search(pattern, path):
                    hub.refused[pattern] = status, times - 1
                    return self.answer({"error": "refused by the test"}, status)
            for method, pattern, call in ROUTES:
                if self.command == method and (match := re.fullmatch(pattern, path)):
                    return self.answer(*call(hub, match, sent))
            return self.answer({"error": f"no such path: {path}"}, 404)

        do_GET = do_POST = do_PUT = do_HEAD = handle_any

    return Handler


def _create(hub: Hub, _: Any, sent: bytes) -> tuple[Any, ...]:
    asked = json.loads(sent)
    name = f"{asked['organization'] or 'ann'}/{asked['name']}"
    url = {"url": f"{hub.address}/datasets/{name}", "name": name}
    if name in hub.repositories:
        return url | {"error": "You already created this dataset repo"}, 409
    hub.repositories[name] = asked
    return (url,)


def _info(hub: Hub, match: re.Match[str], _: bytes) -> tuple[Any, ...]:
    made = hub.repositories.get(match[1])
    if made is None:
        return {"error": "Repository not found"}, 404
    private = made.get("visibility") == "private"
    return ({"id": match[1], "sha": COMMIT, "private": private, "siblings": [], "tags": [], "downloads": 0},)


def _tree(hub: Hub, *_: Any) -> tuple[Any, ...]:
    entries = [
        {"type": "file", "path": name, "size": file["size"], "oid": file["oid"]} for name, file in hub.files.items()
    ]
    return (entries,)


def _preupload(hub: Hub, _: Any, sent: bytes) -> tuple[Any, ...]:
    files = []
    for file in json.loads(sent)["files"]:
        mode = "lfs" if file["path"].endswith(".parquet") else "regular"
        oid = hub.files.get(file["path"], {}).get("oid")
        files.append({"path": file["path"], "uploadMode": mode, "shouldIgnore": False, "oid": oid})
    return ({"files": files},)


def _batch(hub: Hub, match: re.Match[str], sent: bytes) -> tuple[Any, ...]:
    wanted = json.loads(sent)["objects"]
    objects = [
        one
        if one["oid"] in hub.objects
        else one | {"actions": {"upload": {"href": f"{hub.address}/lfs/{one['oid']}", "header": {}}}}
        for one in wanted
    ]
    return ({"transfer": "basic", "objects": objects},)


def _put(hub: Hub, match: re.Match[str], sent: bytes) -> tuple[Any, ...]:
    assert hashlib.sha256(sent).hexdigest() == match[1]
    hub.objects[match[1]] = sent
    return (None,)


def _xet_token(hub: Hub, *_: Any) -> tuple[Any, ...]:
    return ({"casUrl": f"{hub.address}/cas", "exp": int(time.time()) + 3600, "accessToken": "xet"},)


def _block(hub: Hub, _: Any, sent: bytes) -> tuple[Any, ...]:
    hub.blocks.append(len(sent))
    return ({"was_inserted": True},)


def _commit(hub: Hub, match: re.Match[str], sent: bytes) -> tuple[Any, ...]:
    for line in map(json.loads, sent.splitlines()):
        value = line["value"]
        if line["key"] == "file":
            content = base64.b64decode(value["content"])
            oid = hashlib.sha1(b"blob %d\x00%s" % (len(content), content)).hexdigest()
            hub.files[value["path"]] = {"oid": oid, "size": len(content), "content": content}
        elif line["key"] == "lfsFile":
            hub.files[value["path"]] = {"oid": value["oid"], "size": value.get("size")}
        elif line["key"] == "deletedFile":
            del hub.files[value["path"]]
    answer = {"success": True, "commitOid": COMMIT, "commitUrl": f"{hub.address}/datasets/{match[1]}/commit/{COMMIT}"}
    return (answer,)


def _card(hub: Hub, _: Any, sent: bytes) -> tuple[Any, ...]:
    hub.cards.append(json.loads(sent)["content"])
    return ({"errors": [], "warnings": []},)


NAME = r"([\w.-]+/[\w.-]+)"
ROUTES = (
    ("GET", "/api/agent-harnesses", lambda *_: ({},)),
    ("POST", "/api/repos/create", _create),
    ("POST", "/api/validate-yaml", _card),
    ("GET", f"/api/datasets/{NAME}(?:/revision/[^/]+)?", _info),
    ("GET", f"/api/datasets/{NAME}/tree/[^/]+", _tree),
    ("POST", f"/api/datasets/{NAME}/preupload/main", _preupload),
    ("POST", f"/datasets/{NAME}.git/info/lfs/objects/batch", _batch),
    ("PUT", "/lfs/([0-9a-f]{64})", _put),
    ("GET", f"/api/datasets/{NAME}/xet-write-token/main", _xet_token),
    ("POST", "/cas/v1/xorbs/default/([0-9a-f]{64})", _block),
    ("POST", "/cas/(?:v1/)?shards", lambda *_: ({"result": 1},)),
    ("POST", f"/api/datasets/{NAME}/commit/main", _commit),
)


@contextmanager
def running_hub() -> Iterator[Hub]:
    """A hub on the loopback address."""
    hub = Hub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(hub))
    hub.address = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
