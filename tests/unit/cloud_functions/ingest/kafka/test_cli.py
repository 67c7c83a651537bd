"""The command line of ``vedette-ingest``, and its errors at startup."""

from __future__ import annotations

import logging
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from cloud_functions.ingest.kafka.broker import KafkaSource, LibrdkafkaLogger, read_properties
from cloud_functions.ingest.kafka.cli import build_parser, consume, main, stopped_by_signal
from cloud_functions.ingest.kafka.dead_letter_topic import KafkaDeadLetters
from cloud_functions.ingest.sources.messages import Rejection
from shared.errors import ConfigurationError, PermanentError

ROOT = Path(__file__).resolve().parents[5]
CONSUME = ["kafka", "--brokers", "127.0.0.1:1", "--topic", "plates"]
WITH_DEAD_LETTERS = [*CONSUME, "--dead-letter-topic", "rejected"]


def begin(*arguments: str, **variables: str) -> None:
    """Build the consumer, and stop it before the first poll."""
    consume(build_parser().parse_args(arguments), variables=variables, stopped=lambda: True)


def test_it_starts_while_the_broker_and_the_database_are_unavailable(caplog: pytest.LogCaptureFixture) -> None:
    """Both may still be starting, so neither is required at startup."""
    caplog.set_level(logging.INFO)
    begin(*WITH_DEAD_LETTERS, DATABASE_URL="postgresql://127.0.0.1:1/x")
    begin(*CONSUME, DATABASE_URL="postgresql://127.0.0.1:1/x", DEAD_LETTER_QUEUE_URL="https://sqs")
    assert caplog.text.count("0 messages: 0 stored") == 2


@pytest.mark.parametrize(
    ("arguments", "variables", "message"),
    [
        (WITH_DEAD_LETTERS, {}, "DATABASE_URL is not set"),
        (
            [*CONSUME, "--topic", "rejected", "--dead-letter-topic", "rejected"],
            {"DATABASE_URL": "postgresql://x"},
            "--dead-letter-topic is also a --topic",
        ),
        (CONSUME, {"DATABASE_URL": "postgresql://x"}, "set DEAD_LETTER_QUEUE_URL or pass --dead-letter-topic"),
    ],
)
def test_a_missing_setting_is_reported(arguments: list[str], variables: dict[str, str], message: str) -> None:
    """The error is raised before the consumer joins the group."""
    with pytest.raises(ConfigurationError, match=re.escape(message)):
        begin(*arguments, **variables)


def test_a_missing_library_is_reported_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """confluent-kafka is an optional extra, because no Lambda function needs it."""
    monkeypatch.setitem(sys.modules, "confluent_kafka", None)
    with pytest.raises(ConfigurationError, match=re.escape("pip install 'vedette[kafka]'")):
        begin(*WITH_DEAD_LETTERS, DATABASE_URL="postgresql://x")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("sasl.mechanism", "line 1: expected name=value"),
        ("\n\ngroup.id=x", "line 3: set group.id with the option --group"),
        ("bootstrap.servers = x", "line 1: set bootstrap.servers with the option --brokers"),
        (
            "# fine\nenable.auto.commit=true",
            "line 2: enable.auto.commit cannot be changed: offsets follow the database",
        ),
        ("enable.auto.offset.store=true", "enable.auto.offset.store cannot be changed: offsets follow the database"),
        ("sesame.open=now", 'No such configuration property: "sesame.open"'),
        ("session.timeout.ms=soon", "session.timeout.ms"),
    ],
)
def test_an_invalid_property_is_reported(tmp_path: Path, text: str, message: str) -> None:
    """The error names the line, or is the error of librdkafka."""
    file = tmp_path / "kafka.properties"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigurationError, match=re.escape(message)):
        begin(*WITH_DEAD_LETTERS, "--config", str(file), DATABASE_URL="postgresql://x")


def test_no_error_contains_a_password(tmp_path: Path) -> None:
    """An invalid line is identified by its number."""
    file = tmp_path / "kafka.properties"
    for text in ("sasl.password:sesame", "sasl.passwort=sesame", "sasl.password=sesame\nsasl.mechanism=WHAT"):
        file.write_text(f"security.protocol=SASL_SSL\n{text}\n", encoding="utf-8")
        with pytest.raises(ConfigurationError) as raised:
            begin(*WITH_DEAD_LETTERS, "--config", str(file), DATABASE_URL="postgresql://x")
        assert "sesame" not in str(raised.value)


def test_an_unreadable_properties_file_is_reported(tmp_path: Path) -> None:
    """The file does not exist, or is not UTF-8 text."""
    with pytest.raises(ConfigurationError, match="nowhere"):
        read_properties(tmp_path / "nowhere")
    (tmp_path / "picture").write_bytes(b"\xff\xd8")
    with pytest.raises(ConfigurationError, match="picture"):
        read_properties(tmp_path / "picture")


def test_properties_of_the_producer_are_checked_at_startup(tmp_path: Path) -> None:
    """A property that only the producer of dead letters would reject is an error at startup."""
    file = tmp_path / "kafka.properties"
    file.write_text("delivery.report.only.error=perhaps", encoding="utf-8")
    with pytest.raises(ConfigurationError, match=r"delivery\.report\.only\.error"):
        begin(*WITH_DEAD_LETTERS, "--config", str(file), DATABASE_URL="postgresql://x")


@pytest.mark.parametrize(
    "option", [["--batch", "0"], ["--linger-ms", "-1"], ["--batch", "many"], ["--linger-ms", "10001"]]
)
def test_an_option_outside_its_limits_is_reported(option: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """The error names the option."""
    with pytest.raises(SystemExit):
        main([*WITH_DEAD_LETTERS, *option])
    assert option[0] in capsys.readouterr().err


def run(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "cloud_functions.ingest.kafka.cli", *arguments]
    environment = {"PATH": os.environ["PATH"], **variables}
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=60, check=False)


def test_a_wrong_configuration_exits_with_status_2_and_one_line() -> None:
    """The error is one line on stderr, without a traceback."""
    done = run(*WITH_DEAD_LETTERS)
    assert done.returncode == 2
    assert done.stderr.startswith("vedette-ingest: DATABASE_URL is not set")
    assert len(done.stderr.splitlines()) == 1


def test_a_fatal_error_of_the_library_ends_the_consumer() -> None:
    """librdkafka does not recover from a fatal error, so the process must be restarted."""

    class FatalError:
        def fatal(self) -> bool:
            return True

        def str(self) -> str:
            return "fenced"

    source = KafkaSource(brokers="127.0.0.1:1", group="g", topics=["t"], properties={})
    source.join(on_revoked=lambda _: None, on_lost=lambda _: None)
    source._on_error(FatalError())  # type: ignore[arg-type]
    with pytest.raises(PermanentError, match="fatal Kafka error, restart the consumer: fenced"):
        source.poll(most=1, wait_s=0, linger_s=0)
    source.close()


def test_the_first_signal_stops_in_order_and_the_second_at_once() -> None:
    """After the first signal, the default handler of the signal is restored."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        stopped = stopped_by_signal()
        assert not stopped()
        os.kill(os.getpid(), signal.SIGTERM)
        assert stopped()
        assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def test_repeated_connection_errors_are_logged_every_ten_seconds(caplog: pytest.LogCaptureFixture) -> None:
    """Other messages are logged at once. Warnings about properties of the other client type are dropped."""
    caplog.set_level(logging.INFO)
    now_s = [0.0]
    log = LibrdkafkaLogger("consumer", monotonic=lambda: now_s[0])
    for _ in range(100):
        log.log(logging.ERROR, "%s [%s] %s", "FAIL", "consumer-1", "refused")
        now_s[0] += 0.25
    log.log(logging.WARNING, "%s [%s] %s", "SESSTMOUT", "consumer-1", "timed out")
    log.log(logging.WARNING, "%s [%s] %s", "CONFWARN", "consumer-1", "session.timeout.ms is a consumer property")
    messages = [record.getMessage() for record in caplog.records]
    assert messages == [*["FAIL [consumer-1] refused"] * 3, "SESSTMOUT [consumer-1] timed out"]


class FullProducer:
    """Queues one message, rejects further ones, and delivers none."""

    def __init__(self) -> None:
        self.count = 0

    def produce(self, *_: Any, **__: Any) -> None:
        self.count += 1
        if self.count > 1:
            raise BufferError

    def flush(self, _: float) -> int:
        return self.count


def test_the_ids_of_undelivered_dead_letters_are_returned() -> None:
    """A message that is still queued counts as failed, and so does one that the full queue rejected."""
    dead_letters = KafkaDeadLetters(producer=FullProducer(), topic="rejected")  # type: ignore[arg-type]
    assert dead_letters.send([Rejection(str(number), "{}", "r", "d") for number in range(3)]) == {"0", "1", "2"}


def test_every_option_is_documented() -> None:
    """docs/reference/command-line.md names every option of the command."""
    page = (ROOT / "docs" / "reference" / "command-line.md").read_text(encoding="utf-8")
    assert "`vedette-ingest kafka" in page
    section = page.partition("`vedette-ingest kafka")[2]
    done = run("kafka", "--help")
    options = set(re.findall(r"--[a-z][a-z-]+", done.stdout)) - {"--help"}
    assert len(options) == 8
    assert {option for option in options if option not in section} == set()
