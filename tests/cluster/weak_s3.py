"""An S3 server that has too much to do: one request in ten is answered with 503, one in ten after a while.

python weak_s3.py PORT
"""

import itertools
import sys
import time
from collections.abc import Callable, Iterable
from typing import Any

from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import run_simple

REFUSED, SLOW, OF = 3, 7, 10
SLOW_S = 1.5
SLOW_DOWN = b"<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"


def main(port: int) -> None:
    """Serve until killed."""
    moto, numbers = DomainDispatcherApplication(create_backend_app), itertools.count()

    def serve(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        number = next(numbers) % OF
        if number == REFUSED:
            start_response("503 Slow Down", [("Content-Type", "application/xml")])
            return [SLOW_DOWN]
        if number == SLOW:
            time.sleep(SLOW_S)
        return moto(environ, start_response)

    run_simple("127.0.0.1", port, serve, threaded=True)


if __name__ == "__main__":
    main(int(sys.argv[1]))
