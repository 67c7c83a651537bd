"""The migration function: a custom resource of CloudFormation that answers a real HTTP server about a real database."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import psycopg
import pytest

from cloud_functions.db.migrate import current_revision, head_revision, upgrade
from cloud_functions.migration.handler import LEAST_STEP_S, Migration, build_migration
from cloud_functions.migration.response import CustomResource, send_response
from shared.errors import ConfigurationError, TransientError
from tests.support.ingest_harness import rows

TOKEN = "X-Amz-Signature=0123456789abcdef"


class CloudFormation:
    """Receives the answers. ``statuses``: of the next responses, before 200."""

    def __init__(self) -> None:
        self.answers: list[dict[str, Any]] = []
        self.requests: list[tuple[str, str]] = []
        self.statuses: list[int] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_PUT(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                outer.requests.append((self.path, self.headers["Content-Type"]))
                status = outer.statuses.pop(0) if outer.statuses else 200
                if status == 200:
                    outer.answers.append(json.loads(body))
                self.send_response(status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()

    def request(self, kind: str = "Create", **properties: str) -> dict[str, Any]:
        return {
            "RequestType": kind,
            "ResponseURL": f"http://127.0.0.1:{self._server.server_port}/answer?{TOKEN}",
            "StackId": "arn:aws:cloudformation:eu-central-1:123456789012:stack/vedette/1",
            "RequestId": "one",
            "LogicalResourceId": "Schema",
            "ResourceProperties": properties,
        }

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture
def cloudformation() -> Iterator[CloudFormation]:
    server = CloudFormation()
    yield server
    server.close()


def _plenty() -> float:
    return 900.0


def _migration(url: str) -> Migration:
    return build_migration({"DATABASE_URL": url})


def test_creating_a_stack_migrates_its_database(cloudformation: CloudFormation, empty_url: str) -> None:
    """To the revision of the template. The answer has what CloudFormation needs, and the signature's content type."""
    head = head_revision()
    _migration(empty_url).handle(cloudformation.request(Revision=head), remaining_s=_plenty)
    assert current_revision(empty_url) == head
    assert cloudformation.answers == [
        {
            "Status": "SUCCESS",
            "Reason": "done",
            "PhysicalResourceId": "vedette-schema",
            "StackId": "arn:aws:cloudformation:eu-central-1:123456789012:stack/vedette/1",
            "RequestId": "one",
            "LogicalResourceId": "Schema",
            "Data": {"Revision": head},
        }
    ]
    assert cloudformation.requests == [(f"/answer?{TOKEN}", "")]


def test_an_update_migrates_to_the_requested_revision_only(cloudformation: CloudFormation, empty_url: str) -> None:
    """A rollback requests the earlier revision with the new code: it must not finish what has just failed."""
    upgrade(empty_url, "0003")
    _migration(empty_url).handle(cloudformation.request("Update", Revision="0005"), remaining_s=_plenty)
    assert current_revision(empty_url) == "0005"
    _migration(empty_url).handle(cloudformation.request("Update", Revision="0004"), remaining_s=_plenty)
    assert current_revision(empty_url) == "0005"
    assert [answer["Data"] for answer in cloudformation.answers] == [{"Revision": "0005"}] * 2


def test_a_rollback_succeeds_although_the_update_cannot(cloudformation: CloudFormation, empty_url: str) -> None:
    """A table of another application stops the update; CloudFormation then requests what is there already."""
    upgrade(empty_url, "0002")
    with psycopg.connect(empty_url) as connection:
        connection.execute("CREATE TABLE plate_events (theirs int)")
    for revision in ("0003", "0002"):
        _migration(empty_url).handle(cloudformation.request("Update", Revision=revision), remaining_s=_plenty)
    assert [answer["Status"] for answer in cloudformation.answers] == ["FAILED", "SUCCESS"]
    assert current_revision(empty_url) == "0002"


def test_an_earlier_release_leaves_the_schema_of_a_newer_one(cloudformation: CloudFormation, empty_url: str) -> None:
    """After a rollback the earlier code answers for a database that it does not know."""
    upgrade(empty_url)
    with psycopg.connect(empty_url) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    _migration(empty_url).handle(cloudformation.request("Update", Revision="0005"), remaining_s=_plenty)
    [answer] = cloudformation.answers
    assert (answer["Status"], answer["Data"]) == ("SUCCESS", {"Revision": "9999"})
    assert current_revision(empty_url) == "9999"


def test_deleting_the_stack_changes_nothing(cloudformation: CloudFormation, empty_url: str) -> None:
    """Not even a connection is made: the database may be gone."""
    upgrade(empty_url, "0003")
    _migration("postgresql://vedette@127.0.0.1:1/gone").handle(cloudformation.request("Delete"), remaining_s=_plenty)
    assert [answer["Status"] for answer in cloudformation.answers] == ["SUCCESS"]
    assert current_revision(empty_url) == "0003"


def test_without_a_request_it_migrates_and_returns_the_revision(empty_url: str) -> None:
    """As an operator does with ``aws lambda invoke``."""
    assert _migration(empty_url).handle({}, remaining_s=_plenty) == {"revision": head_revision()}
    assert current_revision(empty_url) == head_revision()


def test_an_invocation_without_enough_time_is_continued_by_the_next(
    cloudformation: CloudFormation, empty_url: str
) -> None:
    """Each invocation finishes at least one revision; nothing is answered until all are done."""
    request = cloudformation.request(Revision="0002")
    with pytest.raises(TransientError, match="another invocation continues with revision 0002"):
        _migration(empty_url).handle(request, remaining_s=lambda: LEAST_STEP_S - 1)
    assert (current_revision(empty_url), cloudformation.answers) == ("0001", [])
    _migration(empty_url).handle(request, remaining_s=lambda: LEAST_STEP_S - 1)
    assert current_revision(empty_url) == "0002"
    assert [answer["Status"] for answer in cloudformation.answers] == ["SUCCESS"]


def test_a_database_that_answers_late_is_tried_again(cloudformation: CloudFormation, empty_url: str) -> None:
    """A paused cluster takes some 15 seconds to resume. The connection string is made anew each time."""
    urls = ["postgresql://vedette@127.0.0.1:1/resuming", "postgresql://vedette@127.0.0.1:1/resuming", empty_url]
    pauses: list[float] = []
    migration = Migration(url=lambda: urls.pop(0) if len(urls) > 1 else urls[0], sleep=pauses.append)
    migration.handle(cloudformation.request(Revision="0001"), remaining_s=_plenty)
    assert (current_revision(empty_url), pauses) == ("0001", [5.0, 5.0])


def test_a_failure_is_answered_with_its_reason_and_no_secret(
    cloudformation: CloudFormation, empty_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Of a database that stays away, and of one that belongs to another application."""
    away = empty_url.replace("postgresql://vedette:", "postgresql://vedette:sesame-").replace(
        "@127.0.0.1", "@127.0.0.9"
    )
    with caplog.at_level(logging.INFO):
        _migration(away).handle(cloudformation.request(Revision="0001"), remaining_s=lambda: 10.0)
        with psycopg.connect(empty_url) as connection:
            connection.execute("CREATE TABLE events (theirs int)")
        _migration(empty_url).handle(cloudformation.request(Revision="0001"), remaining_s=_plenty)
    first, second = cloudformation.answers
    assert first["Status"] == second["Status"] == "FAILED"
    assert "Vedette did not create: events" in second["Reason"]
    written = json.dumps(cloudformation.answers) + caplog.text
    assert "sesame" not in written
    assert "Signature" not in written


def test_a_statement_that_takes_too_long_is_rolled_back_and_reported(
    cloudformation: CloudFormation, empty_url: str
) -> None:
    """The database ends it before Lambda ends the function, which would leave it waiting for an answer for an hour."""
    upgrade(empty_url, "0005")
    with psycopg.connect(empty_url) as connection:
        connection.execute(
            "CREATE FUNCTION slow() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(60); END $$;"
            "CREATE EVENT TRIGGER slow ON ddl_command_end EXECUTE FUNCTION slow()"
        )
    _migration(empty_url).handle(cloudformation.request("Update", Revision="0006"), remaining_s=lambda: 32.0)
    [answer] = cloudformation.answers
    assert answer["Status"] == "FAILED"
    assert "migration 0006 did not finish within 2 s; the migration was rolled back" in answer["Reason"]
    assert "vedette-admin migrate up" in answer["Reason"]
    assert current_revision(empty_url) == "0005"
    assert rows(empty_url, "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'") == [(0,)]


def test_an_answer_that_is_refused_is_sent_again(cloudformation: CloudFormation) -> None:
    """With growing pauses; after five attempts the invocation fails, and the next one answers."""
    request = CustomResource.from_event(cloudformation.request())
    assert request is not None
    pauses: list[float] = []
    cloudformation.statuses = [503, 500]
    send_response(request, failure="ends with ünicode", sleep=pauses.append)
    assert (cloudformation.answers[0]["Reason"], pauses) == ("ends with ?nicode", [2.0, 4.0])
    cloudformation.statuses = [403] * 5
    with pytest.raises(TransientError, match="could not be reported to CloudFormation: HTTP 403"):
        send_response(request, sleep=pauses.append)
    unreachable = request._replace(response_url="http://127.0.0.1:1/answer?secret")
    with pytest.raises(TransientError, match=r"CloudFormation: ConnectionRefusedError$"):
        send_response(unreachable, sleep=pauses.append)


def test_an_incomplete_request_is_an_error() -> None:
    with pytest.raises(ConfigurationError, match="lacks RequestType"):
        CustomResource.from_event({"ResponseURL": "https://example.com"})
