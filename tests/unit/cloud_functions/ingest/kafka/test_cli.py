"""The command line of ``vedette-ingest``, and what it says when it cannot begin."""

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
NOWHERE = ["kafka", "--brokers", "127.0.0.1:1", "--topic", "plates"]
WITH_LETTERS = [*NOWHERE, "--dead-letter-topic", "rejected"]


def begin(*arguments: str, **variables: str) -> None:
    """Wire everything, and stop before the first poll."""
    consume(build_parser().parse_args(arguments), variables=variables, stopped=lambda: True)


def test_it_is_wired_without_a_broker_or_a_database(caplog: pytest.LogCaptureFixture) -> None:
    """Both may still be starting: they are waited for, not demanded."""
    caplog.set_level(logging.INFO)
    begin(*WITH_LETTERS, DATABASE_URL="postgresql://127.0.0.1:1/x")
    begin(*NOWHERE, DATABASE_URL="postgresql://127.0.0.1:1/x", DEAD_LETTER_QUEUE_URL="https://sqs")
    assert caplog.text.count("0 messages: 0 stored") == 2


@pytest.mark.parametrize(
    ("arguments", "variables", "told"),
    [
        (WITH_LETTERS, {}, "DATABASE_URL is not set"),
        (
            [*NOWHERE, "--topic", "rejected", "--dead-letter-topic", "rejected"],
            {"DATABASE_URL": "postgresql://x"},
            "--dead-letter-topic is also a --topic",
        ),
        (NOWHERE, {"DATABASE_URL": "postgresql://x"}, "set DEAD_LETTER_QUEUE_URL or pass --dead-letter-topic"),
    ],
)
def test_what_is_missing_is_named(arguments: list[str], variables: dict[str, str], told: str) -> None:
    """Before the group is joined."""
    with pytest.raises(ConfigurationError, match=re.escape(told)):
        begin(*arguments, **variables)


def test_the_library_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is an extra: no Lambda function needs it."""
    monkeypatch.setitem(sys.modules, "confluent_kafka", None)
    with pytest.raises(ConfigurationError, match=re.escape("pip install 'vedette[kafka]'")):
        begin(*WITH_LETTERS, DATABASE_URL="postgresql://x")


@pytest.mark.parametrize(
    ("text", "told"),
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
def test_properties_that_are_wrong_are_named(tmp_path: Path, text: str, told: str) -> None:
    """With the file and the line, or in librdkafka's own words."""
    file = tmp_path / "kafka.properties"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigurationError, match=re.escape(told)):
        begin(*WITH_LETTERS, "--config", str(file), DATABASE_URL="postgresql://x")


def test_no_error_reveals_a_password(tmp_path: Path) -> None:
    """A line that is not understood is named by its number."""
    file = tmp_path / "kafka.properties"
    for text in ("sasl.password:sesame", "sasl.passwort=sesame", "sasl.password=sesame\nsasl.mechanism=WHAT"):
        file.write_text(f"security.protocol=SASL_SSL\n{text}\n", encoding="utf-8")
        with pytest.raises(ConfigurationError) as told:
            begin(*WITH_LETTERS, "--config", str(file), DATABASE_URL="postgresql://x")
        assert "sesame" not in str(told.value)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    """Or is no text."""
    with pytest.raises(ConfigurationError, match="nowhere"):
        read_properties(tmp_path / "nowhere")
    (tmp_path / "picture").write_bytes(b"\xff\xd8")
    with pytest.raises(ConfigurationError, match="picture"):
        read_properties(tmp_path / "picture")


def test_properties_of_a_producer_are_checked_too(tmp_path: Path) -> None:
    """What only the dead letters' producer would refuse is found at the start."""
    file = tmp_path / "kafka.properties"
    file.write_text("delivery.report.only.error=perhaps", encoding="utf-8")
    with pytest.raises(ConfigurationError, match=r"delivery\.report\.only\.error"):
        begin(*WITH_LETTERS, "--config", str(file), DATABASE_URL="postgresql://x")


@pytest.mark.parametrize(
    "option", [["--batch", "0"], ["--linger-ms", "-1"], ["--batch", "many"], ["--linger-ms", "10001"]]
)
def test_numbers_have_limits(option: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Said by the option's name."""
    with pytest.raises(SystemExit):
        main([*WITH_LETTERS, *option])
    assert option[0] in capsys.readouterr().err


def run(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "cloud_functions.ingest.kafka.cli", *arguments]
    environment = {"PATH": os.environ["PATH"], **variables}
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=60, check=False)


def test_a_wrong_configuration_ends_with_2_and_one_line() -> None:
    """No traceback."""
    done = run(*WITH_LETTERS)
    assert done.returncode == 2
    assert done.stderr.startswith("vedette-ingest: DATABASE_URL is not set")
    assert len(done.stderr.splitlines()) == 1


def test_a_consumer_that_is_thrown_out_says_so_and_ends() -> None:
    """A fatal error does not mend itself; another connection might."""

    class Fatal:
        def fatal(self) -> bool:
            return True

        def str(self) -> str:
            return "fenced"

    source = KafkaSource(brokers="127.0.0.1:1", group="g", topics=["t"], properties={})
    source.join(on_revoked=lambda _: None, on_lost=lambda _: None)
    source._on_error(Fatal())  # type: ignore[arg-type]
    with pytest.raises(PermanentError, match="fatal Kafka error, restart the consumer: fenced"):
        source.poll(most=1, wait_s=0, linger_s=0)
    source.close()


def test_the_first_signal_asks_and_the_second_ends() -> None:
    """Whoever cannot wait presses again."""
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


def test_the_library_does_not_flood_the_log(caplog: pytest.LogCaptureFixture) -> None:
    """Broken connections are told once in ten seconds, everything else as it comes."""
    caplog.set_level(logging.INFO)
    now_s = [0.0]
    log = LibrdkafkaLogger("consumer", monotonic=lambda: now_s[0])
    for _ in range(100):
        log.log(logging.ERROR, "%s [%s] %s", "FAIL", "consumer-1", "refused")
        now_s[0] += 0.25
    log.log(logging.WARNING, "%s [%s] %s", "SESSTMOUT", "consumer-1", "timed out")
    log.log(logging.WARNING, "%s [%s] %s", "CONFWARN", "consumer-1", "session.timeout.ms is a consumer property")
    told = [record.getMessage() for record in caplog.records]
    assert told == [*["FAIL [consumer-1] refused"] * 3, "SESSTMOUT [consumer-1] timed out"]


class FullProducer:
    """Takes one letter and delivers none."""

    def __init__(self) -> None:
        self.count = 0

    def produce(self, *_: Any, **__: Any) -> None:
        self.count += 1
        if self.count > 1:
            raise BufferError

    def flush(self, _: float) -> int:
        return self.count


def test_letters_that_are_not_delivered_are_not_kept() -> None:
    """Neither those waiting nor those that found no room."""
    letters = KafkaDeadLetters(producer=FullProducer(), topic="rejected")  # type: ignore[arg-type]
    assert letters.send([Rejection(str(number), "{}", "r", "d") for number in range(3)]) == {"0", "1", "2"}


def test_every_option_is_documented() -> None:
    """docs/reference/command-line.md names each of them."""
    page = (ROOT / "docs" / "reference" / "command-line.md").read_text(encoding="utf-8")
    assert "`vedette-ingest kafka" in page
    section = page.partition("`vedette-ingest kafka")[2]
    done = run("kafka", "--help")
    options = set(re.findall(r"--[a-z][a-z-]+", done.stdout)) - {"--help"}
    assert len(options) == 8
    assert {option for option in options if option not in section} == set()
