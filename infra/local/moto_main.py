"""The process behind ``AwsServer``: moto under werkzeug's threaded server, quiet, on loopback."""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
from pathlib import Path
from typing import Any

from infra.local.aws import REGION
from infra.local.object_store import ObjectFolder, ObjectStore
from infra.local.ports import LOOPBACK
from infra.local.resources import BUCKET, create_resources
from shared.errors import PermanentError

_API_VERSIONS = {"sns": "2010-03-31", "sqs": "2012-11-05"}


def _stack_application(moto: Any, objects: Path, port: int) -> Any:
    """Put the object store before moto, and make what the template makes."""
    from werkzeug.test import Client

    client = Client(moto)

    def call(service: str, parameters: dict[str, str]) -> None:
        scope = f"AWS4-HMAC-SHA256 Credential=local/20260101/{REGION}/{service}/aws4_request"
        answer = client.post(
            "/",
            base_url=f"http://{LOOPBACK}:{port}",
            data={"Version": _API_VERSIONS[service], **parameters},
            headers={"Authorization": scope},
        )
        if answer.status_code != 200:
            raise PermanentError(f"{service} {parameters['Action']} failed: {answer.get_data(as_text=True)[:500]}")

    create_resources(call)
    folder = ObjectFolder(objects)
    folder.make_bucket(BUCKET)
    return ObjectStore(folder=folder, otherwise=moto)


def main() -> None:
    """Serve until SIGTERM."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument(
        "--objects", type=Path, help="the stack's: keep S3 objects in this folder, create its resources"
    )
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    os.environ["MOTO_PORT"] = str(options.port)
    logging.getLogger("werkzeug").setLevel(logging.ERROR)

    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
    from werkzeug.serving import make_server

    class Handler(MotoRequestHandler):
        protocol_version = "HTTP/1.1"  # keeps connections open: a boto3 call costs half as much

    application: Any = DomainDispatcherApplication(create_backend_app)
    if options.objects is not None:
        application = _stack_application(application, options.objects, options.port)
    server: Any = make_server(LOOPBACK, options.port, application, threaded=True, request_handler=Handler)
    server.daemon_threads = True
    server.serve_forever()


if __name__ == "__main__":
    main()
