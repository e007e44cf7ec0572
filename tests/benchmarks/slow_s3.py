"""An S3 server that answers after a while, as a real one does, and counts what it is asked.

    python -m tests.benchmarks.slow_s3 PORT [BUCKET FOLDER]

It begins with the files of a folder, which is faster than to upload them. `PUT /__seconds/0.02` sets how long every
request takes at least, and forgets the counts; `GET /__counts` gives them, as JSON.
"""

import json
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from moto.core import DEFAULT_ACCOUNT_ID
from moto.s3.models import s3_backends
from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import run_simple

Answer = Callable[..., Any]


class Storage:
    """WSGI application: moto behind a delay and a counter."""

    def __init__(self) -> None:
        self._moto = DomainDispatcherApplication(create_backend_app)
        self._seconds, self._counts = 0.0, Counter[str]()

    def __call__(self, environ: dict[str, Any], start_response: Answer) -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        if path.startswith("/__seconds/"):
            self._seconds, self._counts = float(path.rpartition("/")[2]), Counter()
        elif not path.startswith("/__"):
            self._counts[_kind(environ)] += 1
            until = time.monotonic() + self._seconds
            answer = self._moto(environ, start_response)
            time.sleep(max(until - time.monotonic(), 0.0))
            return answer
        start_response("200 OK", [("Content-Type", "application/json")])
        return [json.dumps(self._counts).encode()]


def fill(bucket: str, folder: Path) -> None:
    """Make a bucket of the files of a folder, by their paths from the folder above it."""
    backend = s3_backends[DEFAULT_ACCOUNT_ID]["aws"]
    backend.create_bucket(bucket, "us-east-1")
    for path in folder.rglob("*"):
        if path.is_file():
            backend.put_object(bucket, str(path.relative_to(folder.parent)), path.read_bytes())


def _kind(environ: dict[str, Any]) -> str:
    """What a request is, in the words of S3's price list: listings cost as much as writing."""
    method, query = environ["REQUEST_METHOD"], parse_qs(environ.get("QUERY_STRING", ""), keep_blank_values=True)
    if method == "GET" and ("list-type" in query or "prefix" in query):
        return "LIST"
    return method


if __name__ == "__main__":
    if arguments := sys.argv[2:]:
        fill(arguments[0], Path(arguments[1]))
    run_simple("127.0.0.1", int(sys.argv[1]), Storage(), threaded=True)
