"""Reading the configuration's text: encodings that editors leave behind, and characters that nobody sees."""

from __future__ import annotations

import codecs
import tomllib
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from shared.errors import ConfigurationError

_OTHER_ENCODINGS = {codecs.BOM_UTF16_LE: "UTF-16", codecs.BOM_UTF16_BE: "UTF-16"}

Location = tuple[str | int, ...]


def read_toml(path: Path) -> dict[str, Any]:
    """Read a TOML file, with or without a byte order mark; raise ConfigurationError that says what is wrong where."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise ConfigurationError(
            f"there is no file {path}; `edge-agent check --example` prints a configuration to start from"
        ) from None
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror}") from error
    try:
        return tomllib.loads(_decoded(content).replace("\r\n", "\n"))
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise ConfigurationError(
            f"{path} cannot be read: line {line} is not text in UTF-8; save the file as UTF-8"
        ) from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(f"{path} is not TOML: {error}") from error
    except RecursionError:
        raise ConfigurationError(f"{path} is nested too deeply to be a configuration") from None
    except ValueError as error:
        # Python's own limit for the digits of a number.
        raise ConfigurationError(f"{path} holds a number with too many digits") from error


def stray_characters(data: Any, location: Location = ()) -> Iterator[tuple[Location, str]]:
    """Yield where a text begins or ends with white space or holds a character that cannot be seen, and say which.

    Neither is ever meant, and both make settings that look right and never work: an address, a class, a file name.
    """
    if isinstance(data, str):
        if (problem := _stray(data)) is not None:
            yield location, problem
    elif isinstance(data, dict):
        for name, value in data.items():
            yield from stray_characters(value, (*location, name))
    elif isinstance(data, list):
        for index, value in enumerate(data):
            yield from stray_characters(value, (*location, index))


def _decoded(content: bytes) -> str:
    for mark, encoding in _OTHER_ENCODINGS.items():
        if content.startswith(mark):
            return content.decode(encoding)
    return content.decode("utf-8-sig")


def _stray(text: str) -> str | None:
    hidden = next((character for character in text if unicodedata.category(character) in {"Cc", "Cf"}), None)
    if hidden is not None:
        name = unicodedata.name(hidden, "a control character")
        return f"holds a character that cannot be seen (U+{ord(hidden):04X}, {name.lower()}); remove it"
    if text != text.strip():
        side = "begins" if text[:1].isspace() else "ends"
        return f"{side} with a blank; remove it"
    return None
