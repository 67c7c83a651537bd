"""Events over WebSocket: a real server, a real database, and clients that are late, slow, limited and wrong."""

from __future__ import annotations

import importlib.util
import json
import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import psycopg
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

from cloud_functions.api.security.tokens import AccessTokens
from cloud_functions.db.stream.connections import MAX_CONNECTIONS, MAX_SUBSCRIPTIONS
from cloud_functions.db.stream.order import purge_stream
from cloud_functions.db.stream.wake import WAKE_MESSAGE
from cloud_functions.fanout.handler import REPEAT_EVENT, build_fanout
from cloud_functions.fanout.messages import Delivery, Replay
from shared.clock import SystemClock
from tests.support.api_calls import lambda_api, store, stored_event
from tests.support.camera_groups import FOREIGN, OWN, fill_two_groups
from tests.support.users import PASSWORD, add_key, add_user, bearer, log_in
from tests.support.waiting import eventually
from tests.support.websocket_stack import WebSocketStack, motion, websocket_stack

BIG = "x" * 60_000
REVOKE_FIRST = """
UPDATE refresh_tokens SET revoked_at = now() WHERE created_at = (SELECT min(created_at) FROM refresh_tokens)
"""


@pytest.fixture(autouse=True)
def aws_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "local")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")


@pytest.fixture
def stack(database_url: str) -> Iterator[WebSocketStack]:
    with websocket_stack(database_url) as one:
        yield one


def test_missed_events_come_first_then_live_ones_each_once(stack: WebSocketStack) -> None:
    """A client that comes back with its cursor, also one of an earlier server, gets all it missed, in order."""
    with stack.client() as client:
        assert client.ask("subscribe") == {"type": "subscribed", "subscription": "default", "cursor": "s1-0"}
        first = stack.publish(motion(), motion("camera-2"), motion())
        assert client.numbers(3) == first
        cursor = client.cursor
    missed = stack.publish(*(motion() for _ in range(450)))
    with websocket_stack(stack.url) as restarted, restarted.client() as client:
        assert client.ask("subscribe", after=cursor)["cursor"] == cursor
        restarted.deliver()
        assert client.numbers(450) == missed
        live = restarted.publish(motion())
        restarted.deliver(live)  # the queue delivers at least once
        assert client.numbers(1) == live
        assert client.has_nothing()
    stack.deliver()
    assert stack.execute("SELECT count(*) FROM websocket_connections") == [(0,)]


def test_an_event_that_becomes_visible_late_is_not_skipped(stack: WebSocketStack) -> None:
    """Of two open transactions the second commits first: the cursor after its event still leads to the other event."""
    insert = """
        INSERT INTO events (event_id, event_type, site_id, device_id, camera_id, "timestamp", event_data)
        VALUES (gen_random_uuid(), 'motion', %(name)s, 'gate-01', %(name)s, now(), '{}') RETURNING id
    """  # of two sites, because writers of one count lock its rows
    with stack.client() as client, psycopg.connect(stack.url) as early, psycopg.connect(stack.url) as late:
        client.ask("subscribe")
        [(lower,)] = early.execute(insert, {"name": "north"}).fetchall()
        [(higher,)] = late.execute(insert, {"name": "south"}).fetchall()
        assert lower < higher
        late.commit()
        stack.deliver([higher])
        assert client.numbers(1) == [higher]
        cursor = client.cursor
        early.commit()
        stack.deliver([lower])
        assert client.numbers(1) == [lower]
        with stack.client() as other:
            other.ask("subscribe", after=cursor)
            stack.deliver()
            assert other.numbers(1) == [lower]


def test_a_replay_comes_again_to_who_is_connected(stack: WebSocketStack) -> None:
    """Marked as such, and once although the queue delivers it twice; the filter is that of the event."""
    with stack.client() as client, stack.client() as other:
        client.ask("subscribe", types=["motion"])
        other.ask("subscribe", types=["anpr"])
        [number] = stack.publish(motion())
        assert client.numbers(1) == [number]
        message = stack.message(number)
        fields = {"event_type": "motion", "camera_id": "camera-1", "replayed": True}
        document = json.dumps(json.loads(message.document) | fields)
        replayed = message._replace(document=document, replay=Replay("replay-1"))
        assert stack.target.deliver([replayed]) == stack.target.deliver([replayed]) == set()
        assert [(one["id"], one["replayed"]) for one in client.events(1)] == [(number, True)]
        assert client.has_nothing()
        assert other.has_nothing()


def test_a_reader_that_stops_delays_nobody_and_can_resume(database_url: str) -> None:
    """It is refused more once its buffer is full, is closed with its cursor, and gets all the rest after that."""
    with websocket_stack(database_url, budget_s=0.5) as stack:
        with stack.client() as quick, stack.client(sock=stack.slow_socket(), max_queue=1) as slow:
            quick.ask("subscribe")
            slow.ask("subscribe")
            slow.connection.recv_flow_control.acquire()  # its thread reads no more
            stalled = "SELECT count(*) FROM websocket_connections WHERE stalled_since IS NOT NULL"
            sent: list[int] = []
            while stack.execute(stalled) == [(0,)]:  # what the system buffers for a connection is limited too
                sent += stack.publish(*(motion(event_data={"padding": BIG}) for _ in range(12)))
                assert quick.numbers(12) == sent[-12:]
            eventually(lambda: _closes_stalled(stack), what="the slow reader is closed")
            slow.connection.recv_flow_control.release()
            received: list[int] = []
            cursor = ""
            while (message := slow.receive())["type"] == "events":
                received += [event["id"] for event in message["events"]]
                cursor = message["cursor"]
            assert (message["type"], message["code"]) == ("closing", "slow-reader")
            assert message["cursors"] == {"default": cursor}
            with pytest.raises(ConnectionClosed):
                slow.receive()
        assert received == sent[: len(received)]
        assert 0 < len(received) < len(sent)
        with stack.client(max_queue=None) as again:
            again.ask("subscribe", after=cursor)
            eventually(lambda: _is_up_to_date(stack), what="the rest is delivered")
            assert again.numbers(len(sent) - len(received)) == sent[len(received) :]


def _closes_stalled(stack: WebSocketStack) -> bool:
    stack.execute("""
        UPDATE websocket_connections SET stalled_since = now() - interval '1 minute', paused_until = NULL
        WHERE stalled_since IS NOT NULL
    """)
    stack.deliver()
    return stack.execute("SELECT count(*) FROM websocket_connections") == [(1,)]


def _is_up_to_date(stack: WebSocketStack) -> bool:
    stack.deliver()
    behind = "SELECT count(*) FROM websocket_subscriptions WHERE position < (SELECT position FROM event_stream_head)"
    return stack.execute(behind) == [(0,)]


def test_filters_are_those_of_the_events_api(stack: WebSocketStack) -> None:
    """Lists are alternatives, everything else must hold; a match of a watch-list has the type ``plate_match``."""
    with stack.client() as client:
        for name, wanted in {
            "cars": {"types": ["detection", "motion"], "class_name": "car", "min_confidence": 0.7},
            "zone": {"zone": "yard", "cameras": ["camera-1", "camera-3"], "site_id": "hq"},
            "plate": {"license_plate": "b-1", "types": ["anpr"]},
            "match": {"types": ["plate_match"]},
        }.items():
            assert client.ask("subscribe", subscription=name, **wanted)["type"] == "subscribed"
        in_zone = {"track_id": 1, "class_name": "person", "confidence": 0.9, "zones": ["yard"]}
        plate = stored_event("anpr", event_id=str(uuid4()))
        numbers = store(
            stack.url,
            [
                stored_event("detection"),
                stored_event("detection", event_data={"detections": [{"class_name": "car", "confidence": 0.5}]}),
                stored_event("tracking", event_data=in_zone),
                stored_event("tracking", event_data=in_zone, camera_id="camera-2"),
                plate,
            ],
        )
        match = plate | {"id": numbers[4], "event_id": str(uuid4()), "event_type": "plate_match"}
        document = json.dumps(match, default=str)
        delivery = Delivery("match", document, json.loads(document))
        assert stack.target.deliver([delivery, delivery]) == set()
        found = {}
        for _ in range(4):
            message = client.receive()
            found[message["subscription"]] = [(event["id"], event["event_type"]) for event in message["events"]]
    assert found == {
        "cars": [(numbers[0], "detection")],
        "zone": [(numbers[2], "tracking")],
        "plate": [(numbers[4], "anpr")],
        "match": [(numbers[4], "plate_match")],
    }


BAD_MESSAGES: list[tuple[str | bytes, str, str]] = [
    ("{", "invalid-message", "not valid JSON"),
    ("[1]", "invalid-message", "dictionary"),
    ('{"action": "shout"}', "invalid-message", "subscribe"),
    ('{"action": "subscribe", "types": ["door"]}', "invalid-message", "types.0"),
    ('{"action": "subscribe", "min_confidence": 2}', "invalid-message", "min_confidence"),
    ('{"action": "subscribe", "min_confidence": NaN}', "invalid-message", "JSON"),
    ('{"action": "subscribe", "colour": "red"}', "invalid-message", "colour"),
    ('{"action": "subscribe", "after": "s1-99"}', "invalid-cursor", "after"),
    ('{"action": "subscribe", "after": "yesterday"}', "invalid-cursor", "after"),
    ('{"action": "subscribe", "groups": ["nowhere"]}', "group-not-found", "nowhere"),
    ('{"action": "unsubscribe", "subscription": "other"}', "no-such-subscription", "other"),
    (json.dumps({"action": "ping", "padding": "x" * 17_000}), "message-too-large", "16384"),
    (b"\x00\xff", "invalid-message", "text"),
]


def test_a_bad_message_harms_only_itself(stack: WebSocketStack) -> None:
    """Each is answered with what is wrong. The subscription that the connection has goes on."""
    with stack.client() as client:
        client.ask("subscribe")
        for text, code, detail in BAD_MESSAGES:
            error = client.ask_text(text)
            assert (error["type"], error["code"]) == ("error", code), (text, error)
            assert detail in error["detail"]
        assert stack.publish(motion()) == client.numbers(1)


def test_subscriptions_are_independent_and_limited(stack: WebSocketStack) -> None:
    """Each has a cursor of its own; one that ended gets nothing; a new one with its name replaces it."""
    with stack.client() as client:
        for number in range(MAX_SUBSCRIPTIONS):
            assert client.ask("subscribe", subscription=f"s{number}", types=["anpr"])["type"] == "subscribed"
        assert client.ask("subscribe", subscription="more")["code"] == "too-many-subscriptions"
        assert client.ask("unsubscribe", subscription="s0") == {"type": "unsubscribed", "subscription": "s0"}
        assert client.ask("subscribe", subscription="s1", cameras=["camera-2"])["type"] == "subscribed"
        [_, number] = stack.publish(motion(), motion("camera-2"))
        message = client.receive()
        assert (message["subscription"], [event["id"] for event in message["events"]]) == ("s1", [number])
        assert client.has_nothing()


def test_a_quiet_connection_gets_a_heartbeat_with_its_cursors(stack: WebSocketStack) -> None:
    """Their cursors move on although nothing matched, so a client that resumes from them reads less."""
    with stack.client() as client:
        client.ask("subscribe", types=["anpr"])
        stack.publish(motion())
        stack.execute("UPDATE websocket_connections SET last_sent_at = now() - interval '1 minute'")
        stack.deliver()
        assert client.receive() == {"type": "heartbeat", "cursors": {"default": "s1-1"}}


def test_a_cursor_expires_with_the_stream(stack: WebSocketStack) -> None:
    """A client that was away for too long gets an error, instead of losing events silently."""
    stack.publish(motion(), motion())
    with psycopg.connect(stack.url) as connection:
        assert purge_stream(connection, older_than=timedelta(0), limit=1) == 1
        assert purge_stream(connection, older_than=timedelta(days=1), limit=10) == 0
    with stack.client() as client:
        assert client.ask("subscribe", after="s1-0")["code"] == "cursor-expired"
        assert client.ask("subscribe", after="s1-1")["type"] == "subscribed"


def test_a_limit_to_camera_groups_holds(database_url: str) -> None:
    """Also for what was missed, for groups that are asked for, and at once for a camera that changes its group."""
    groups = fill_two_groups(database_url)
    key = add_key(database_url, "events:read", groups=[OWN])
    with websocket_stack(database_url, users=True) as stack, stack.client(bearer(key)) as client:
        assert client.ask("subscribe", groups=[FOREIGN])["code"] == "group-not-found"
        client.ask("subscribe")
        own, _, _ = stack.publish(motion(groups.own.camera), motion(groups.foreign.camera), motion("southern-loose"))
        assert client.numbers(1) == [own]
        stack.execute("UPDATE cameras SET group_id = %s WHERE slug = %s", groups.own.group_id, groups.foreign.camera)
        assert stack.publish(motion(groups.foreign.camera)) == client.numbers(1)
        assert client.ask("subscribe", groups=[OWN], after="s1-0")["type"] == "subscribed"
        stack.deliver()
        assert len(client.events(3)) == 3
    admin = add_key(database_url, "events:read", name="admin")
    with websocket_stack(database_url, users=True) as stack, stack.client(bearer(admin)) as client:
        client.ask("subscribe", groups=[FOREIGN])
        stack.publish(motion(groups.own.camera))
        assert client.has_nothing()


def test_a_connection_ends_with_its_session(database_url: str) -> None:
    """A log-out, a revoked key, a disabled user: the client gets the reason, no further event, and is disconnected."""
    user = add_user(database_url)
    key = add_key(database_url, "events:read")
    with websocket_stack(database_url, users=True) as stack:
        token = log_in(stack.address, "ana", PASSWORD)
        other = log_in(stack.address, "ana", PASSWORD)
        ends = {
            REVOKE_FIRST: token,
            "UPDATE api_keys SET revoked_at = now()": {"x-api-key": key},
            "UPDATE users SET is_active = false": other,
        }
        for statement, headers in ends.items():
            with stack.client(headers) as client:
                client.ask("subscribe")
                assert stack.publish(motion()) == client.numbers(1)
                stack.execute(statement)
                stack.publish(motion())
                message = client.receive()
                assert (message["type"], message["code"]) == ("closing", "session-ended")
                with pytest.raises(ConnectionClosed):
                    client.receive()
            with pytest.raises(InvalidStatus) as refused, stack.client(headers):
                pass
            assert refused.value.response.status_code == 401
    assert user


def test_a_ticket_opens_one_connection(database_url: str) -> None:
    """It has the rights of its caller, ends with the caller's session, and nothing else in the URL authenticates."""
    key = add_key(database_url, "events:read")
    with websocket_stack(database_url, users=True) as stack:
        issued = httpx.post(f"{stack.address}/api/v1/websocket/tickets", headers=bearer(key), timeout=30)
        assert issued.status_code == 201, issued.text
        data = issued.json()["data"]
        assert data["url"] == f"{stack.address.replace('http', 'ws', 1)}/api/v1/websocket"
        assert issued.headers["cache-control"] == "no-store"
        query = f"?ticket={data['ticket']}"
        with stack.client(query=query) as client:
            client.ask("subscribe")
            stack.execute("UPDATE api_keys SET revoked_at = now()")
            stack.deliver()
            assert client.receive()["code"] == "session-ended"
        for wrong in (query, "?ticket=", f"?token={key}", ""):
            with pytest.raises(InvalidStatus) as refused, stack.client(query=wrong):
                pass
            assert refused.value.response.status_code == 401
            assert json.loads(refused.value.response.body)["type"] == "error"
        stored = stack.execute("SELECT row_to_json(t)::text FROM websocket_tickets AS t")
        assert stored == []


def test_the_cookie_of_the_dashboard_counts_for_its_own_pages_only(database_url: str) -> None:
    """A page of another site can open a WebSocket with the cookie: it is refused, as is one without an origin."""
    add_user(database_url)
    with websocket_stack(database_url, users=True) as stack, httpx.Client(base_url=stack.address) as browser:
        own = {"origin": stack.address, "sec-fetch-site": "same-origin"}
        begun = browser.post("/api/v1/session", json={"username": "ana", "password": PASSWORD}, headers=own)
        assert begun.status_code == 200, begun.text
        cookie = "; ".join(f"{name}={value}" for name, value in browser.cookies.items())
        with stack.client({"cookie": cookie}, origin=stack.address) as client:
            client.ask("subscribe")
            assert stack.publish(motion()) == client.numbers(1)
        for origin in (None, "https://evil.example", "http://127.0.0.1:1"):
            with pytest.raises(InvalidStatus), stack.client({"cookie": cookie}, origin=origin):
                pass


def test_connections_of_a_caller_are_limited(database_url: str) -> None:
    """One that closes makes room for another."""
    key = add_key(database_url, "events:read")
    with websocket_stack(database_url, users=True) as stack:
        stack.execute(
            "INSERT INTO websocket_connections (id, subject, caller) SELECT n::text, 'api_key:robot', 'api_key'"
            f" FROM generate_series(2, {MAX_CONNECTIONS}) AS n"
        )
        with stack.client(bearer(key)):
            with pytest.raises(InvalidStatus) as refused, stack.client(bearer(key)):
                pass
            assert refused.value.response.status_code == 429
        eventually(lambda: _can_connect(stack, key), what="the closed connection makes room")


def _can_connect(stack: WebSocketStack, key: str) -> bool:
    try:
        with stack.client(bearer(key)):
            return True
    except InvalidStatus:
        return False


def test_events_of_api_gateway_are_handled_by_the_api_function(database_url: str) -> None:
    """As the gateway sends them: a handshake with a header, a message whose answer is the response, and the end."""
    key = add_key(database_url, "events:read")
    tokens = AccessTokens(clock=SystemClock())
    handler, dependencies = lambda_api(database_url, tokens=tokens)

    def send(kind: str, **fields: Any) -> dict[str, Any]:
        context = {"routeKey": "$default", "eventType": kind, "connectionId": "L0SM9cOFvHcCIhw=", "stage": "v1"}
        return handler({"requestContext": context, "isBase64Encoded": False, **fields}, None)

    try:
        assert send("CONNECT", headers={"Host": "x.example"})["statusCode"] == 401
        assert send("CONNECT", headers={"Host": "x.example", "X-API-Key": key}) == {"statusCode": 200}
        answer = send("MESSAGE", body='{"action": "subscribe"}')
        assert (answer["statusCode"], json.loads(answer["body"])["type"]) == (200, "subscribed")
        assert send("DISCONNECT") == {"statusCode": 200}
        answer = send("MESSAGE", body='{"action": "subscribe"}')
        assert json.loads(answer["body"])["code"] == "not-connected"
    finally:
        handler.close()
        dependencies.close()


def test_unreadable_messages_are_returned_and_the_rest_is_delivered(stack: WebSocketStack) -> None:
    """The dead-letter queue takes what is no stored event; the signal of the API is one of the queue's messages."""
    number = store(stack.url, [motion()])[0]
    message = stack.message(number)
    fanout = build_fanout({}, target=stack.target)
    bodies = {"good": message.document[:-1] + ', "event_type": "motion", "camera_id": "c"}', "wake": WAKE_MESSAGE}
    bodies |= {"bad": '{"event_type": "motion", "camera_id": "c", "id": "x"}', "text": "text"}
    records = [{"messageId": name, "body": body} for name, body in bodies.items()]
    with stack.client() as client:
        client.ask("subscribe")
        failed = fanout.handle({"Records": records})["batchItemFailures"]
        assert [one["itemIdentifier"] for one in failed] == ["bad", "text"]
        assert client.numbers(1) == [number]
    assert fanout.handle(REPEAT_EVENT) == {"batchItemFailures": []}


def test_the_example_client_resumes_with_its_cursor(
    stack: WebSocketStack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It goes on where it was after its connection breaks and after its own restart, and handles no event twice."""
    path = Path(__file__).resolve().parents[2] / "docs" / "examples" / "websocket_client.py"
    spec = importlib.util.spec_from_file_location("websocket_client", path)
    assert spec is not None
    assert spec.loader is not None
    example = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)
    monkeypatch.setattr(example.time, "sleep", lambda _: None)
    url, cursor = f"{stack.address.replace('http', 'ws', 1)}/api/v1/websocket", tmp_path / "cursor.txt"
    handled: list[int] = []
    stop = threading.Event()

    def run() -> None:
        example.follow(url, lambda event: handled.append(event["id"]), cursor_file=cursor, stopped=stop.is_set)

    def expect(numbers: list[int]) -> None:
        eventually(lambda: (stack.deliver(), handled[-len(numbers) :] == numbers)[1], what="the events are handled")

    for _ in range(2):
        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        eventually(lambda: stack.execute("SELECT 1 FROM websocket_subscriptions") == [(1,)], what="it has subscribed")
        expect(stack.publish(motion(), motion()))
        stack.close_connections()
        expect(stack.publish(motion()))
        stop.set()
        stack.close_connections()
        thread.join(30)
        assert not thread.is_alive()
        stop.clear()
    assert handled == sorted(set(handled))
    assert len(handled) == 6
    with pytest.raises(example.RefusedError, match="nowhere"):
        example.follow(url, handled.append, cursor_file=cursor, conditions={"groups": ["nowhere"]})
