"""Reads TOML files: byte order marks, encodings, and invisible characters."""

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
    """Read a TOML file, with or without a byte order mark. Raise ConfigurationError with the problem and its line."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise ConfigurationError(
            f"{path} does not exist; `edge-agent check --example` prints an example configuration"
        ) from None
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror}") from error
    try:
        return tomllib.loads(_decoded(content).replace("\r\n", "\n"))
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise ConfigurationError(
            f"{path} cannot be read: line {line} is not UTF-8 text; save the file as UTF-8"
        ) from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(f"{path} is not valid TOML: {error}") from error
    except RecursionError:
        raise ConfigurationError(f"{path} is nested too deeply") from None
    except ValueError as error:
        # Python limits the digits of an integer.
        raise ConfigurationError(f"{path} contains a number with too many digits") from error


def stray_characters(data: Any, location: Location = ()) -> Iterator[tuple[Location, str]]:
    """Yield the location and the problem of each string with surrounding white space or an invisible character.

    Both come from copying text. They make an address, a class or a file name that looks correct and does not work.
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
        return f"contains an invisible character (U+{ord(hidden):04X}, {name.lower()}); remove it"
    if text != text.strip():
        side = "begins" if text[:1].isspace() else "ends"
        return f"{side} with white space; remove it"
    return None
