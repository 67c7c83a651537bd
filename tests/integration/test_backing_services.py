"""The service fixtures: databases are new for each test, and servers can be restarted after ``kill -9``."""

from __future__ import annotations

import threading

import boto3
import paho.mqtt.client as mqtt
import psycopg
import redis

from tests.support.backing_services import BrokerFixture, PostgresFixture


def test_committed_data_survives_a_kill(postgres: PostgresFixture, database_url: str) -> None:
    """Committed rows exist after ``kill -9`` of the server."""
    with psycopg.connect(database_url) as connection:
        connection.execute("CREATE TABLE kept (number int)")
        connection.execute("INSERT INTO kept VALUES (1)")
    postgres.kill()
    postgres.start()
    with psycopg.connect(database_url) as connection:
        assert connection.execute("SELECT number FROM kept").fetchall() == [(1,)]


def test_a_second_database_does_not_see_the_first(database_url: str) -> None:
    """A table that is created in one database does not exist in another."""
    with psycopg.connect(database_url) as connection:
        assert connection.execute("SELECT to_regclass('kept')").fetchone() == (None,)


def test_the_broker_delivers_a_message_after_a_kill(mqtt_broker: BrokerFixture) -> None:
    """The broker restarts on the same port and delivers messages."""
    mqtt_broker.kill()
    mqtt_broker.start()
    received = threading.Event()
    client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2)
    client.on_message = lambda *_: received.set()
    client.on_subscribe = lambda *_: client.publish("services/test", b"x", qos=1)
    client.on_connect = lambda *_: client.subscribe("services/test", qos=1)
    client.connect(mqtt_broker.host, mqtt_broker.port)
    client.loop_start()
    try:
        assert received.wait(10)
    finally:
        client.disconnect()
        client.loop_stop()


def test_redis_keeps_a_value(redis_url: str) -> None:
    """A value that was set can be read."""
    with redis.Redis.from_url(redis_url) as client:
        client.set("services", "here")
        assert client.get("services") == b"here"


def test_moto_stores_an_object(moto_server: str) -> None:
    """An object that was put can be read."""
    client = boto3.client(
        "s3",
        endpoint_url=moto_server,
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
    )
    client.create_bucket(Bucket="services-test")
    client.put_object(Bucket="services-test", Key="a/b.txt", Body=b"here")
    assert client.get_object(Bucket="services-test", Key="a/b.txt")["Body"].read() == b"here"
    client.close()
