"""The process behind ``AwsServer``: moto under werkzeug's threaded server, quiet, on loopback."""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
from pathlib import Path
from typing import Any

from infra.local.ports import LOOPBACK


def _application(objects: Path | None) -> Any:
    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app

    application: Any = DomainDispatcherApplication(create_backend_app)
    if objects is not None:
        from infra.local.object_store import ObjectFolder, ObjectStore

        return ObjectStore(folder=ObjectFolder(objects), otherwise=application)
    return application


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--objects", type=Path, help="folder in which S3 objects outlive this process")
    options = parser.parse_args()
    os.environ["MOTO_PORT"] = str(options.port)
    logging.getLogger("werkzeug").setLevel(logging.ERROR)

    from moto.moto_server.werkzeug_app import MotoRequestHandler
    from werkzeug.serving import make_server

    class Handler(MotoRequestHandler):
        protocol_version = "HTTP/1.1"  # keeps connections open: a boto3 call costs half as much

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    server: Any = make_server(
        LOOPBACK, options.port, _application(options.objects), threaded=True, request_handler=Handler
    )
    server.daemon_threads = True
    server.serve_forever()


if __name__ == "__main__":
    main()
