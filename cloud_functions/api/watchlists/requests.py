"""What a client may send about watch-lists, and how they are answered."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from fastapi import Path
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, model_validator

from cloud_functions.api.events.requests import Segment, Time
from cloud_functions.api.http.problems import invalid_parameter
from cloud_functions.db.watchlists import NewPattern
from cloud_functions.plates.patterns import check_pattern

MAX_PATTERNS_AT_ONCE = 10_000
MOST_IN_FULL_BYTES = 1024 * 1024
"""Added patterns are given back whole where they take no more, as sent; else only their numbers, which always fit."""
_TIME: dict[str, Any] = {"format": "date-time"}
_NOT_PRINTED = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")


def _check_text(text: str) -> str:
    if _NOT_PRINTED.search(text) or text != text.strip() or not text:
        raise ValueError("must be text on one line, without control characters or spaces around it")
    return text


Text = Annotated[str, Field(min_length=1, max_length=500), AfterValidator(_check_text)]
Name = Annotated[str, Field(min_length=1, max_length=100), AfterValidator(_check_text)]
PatternText = Annotated[str, StringConstraints(min_length=1, max_length=200)]


def _number(text: str, name: str) -> int:
    if text.isascii() and text.isdecimal() and len(text) <= 18 and int(text) > 0:
        return int(text)
    raise invalid_parameter(name, "must be a positive whole number", location="path")


def watchlist_number(
    watchlist: Annotated[str, Path(description="The watch-list's `watchlist_id`.", examples=["3"])],
) -> int:
    """Dependency: the number in the path."""
    return _number(watchlist, "watchlist")


def pattern_number(pattern: Annotated[str, Path(description="The pattern's `pattern_id`.", examples=["17"])]) -> int:
    """Dependency: the number in the path."""
    return _number(pattern, "pattern")


class WatchlistBody(BaseModel):
    """A watch-list as it is made or changed."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    name: Name = Field(description="Unique; subscribers can filter by it.", examples=["stolen"])
    description: Text | None = None
    enabled: bool = Field(default=True, description="While it is off, none of its patterns match.")


class PatternBody(BaseModel):
    """A pattern as it is added. A pattern is never changed: delete it and add another."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["exact", "glob", "regex", "fuzzy"] = Field(description="How `pattern` is compared with plates.")
    pattern: PatternText = Field(
        description="`exact` and `fuzzy`: a plate. `glob`: `*` any characters, `?` one, `[AB]` one of these; the whole"
        " plate must fit. `regex`: found anywhere in the plate unless `^` and `$` anchor it; no look-around, no"
        " back-references. Letters are compared as plates are: without case, separators and accents, Cyrillic and Greek"
        " ones that look Latin as Latin; others as they are.",
        examples=["B*ABC"],
    )
    max_distance: int | None = Field(
        default=None, ge=0, le=2, description="Of `fuzzy` patterns: how far a plate may be; a look-alike is a quarter."
    )
    site_id: Segment | None = Field(
        default=None,
        description="Of `exact` patterns: keep only the token that this protected site knows the plate by. The pattern"
        " matches at this site alone, and its plate can never be read from it.",
    )
    reason: Text | None = Field(default=None, description="Told with every match.", examples=["reported stolen"])
    expires_at: Time | None = Field(default=None, description="From then on it matches nothing (RFC 3339).")

    @model_validator(mode="after")
    def _check(self) -> PatternBody:
        try:
            _ = self.stored_text
        except ValueError as error:
            raise ValueError(f"pattern: {error}") from None
        if self.site_id is not None and self.kind != "exact":
            raise ValueError("site_id belongs to exact patterns: a token is like nothing but itself")
        return self

    @property
    def stored_text(self) -> str:
        """The pattern in the form in which it is kept."""
        return check_pattern(self.kind, self.pattern, self.max_distance)

    def to_store(self) -> NewPattern:
        """Return it for the database."""
        return NewPattern(self.kind, self.stored_text, self.max_distance, self.reason, self.expires_at)


class PatternsBody(BaseModel):
    """Patterns to be added together, or none of them."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    patterns: list[PatternBody] = Field(min_length=1, max_length=MAX_PATTERNS_AT_ONCE)


class WatchlistPage(BaseModel):
    """Which slice of all watch-lists."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    limit: int = Field(default=1000, ge=1, le=1000, description="Watch-lists at most.")
    offset: int = Field(default=0, ge=0, le=1_000_000, description="Step over so many.")


class PatternPage(BaseModel):
    """Which slice of a list's patterns."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    limit: int = Field(default=100, ge=1, le=1000, description="Patterns at most.")
    offset: int = Field(default=0, ge=0, le=1_000_000, description="Step over so many.")


class WatchlistAnswer(BaseModel):
    """A watch-list."""

    watchlist_id: int
    name: str
    description: str | None
    enabled: bool
    patterns: int = Field(description="How many it holds, expired ones included.")
    created_at: str = Field(json_schema_extra=_TIME)
    updated_at: str = Field(json_schema_extra=_TIME)


class WatchlistsAnswer(BaseModel):
    """A slice of all watch-lists, by name."""

    watchlists: list[WatchlistAnswer]
    count: int = Field(description="How many are here.")
    total: int = Field(description="How many there are.")


class PatternAnswer(BaseModel):
    """A pattern of a watch-list, in the form in which it is compared."""

    pattern_id: int
    watchlist_id: int
    kind: Literal["exact", "glob", "regex", "fuzzy"]
    pattern: str
    max_distance: int | None
    reason: str | None
    expires_at: str | None = Field(json_schema_extra=_TIME)


class PatternsAnswer(BaseModel):
    """A slice of a list's patterns, in the order in which they were added."""

    patterns: list[PatternAnswer]
    total: int
    limit: int
    offset: int


class PatternsAdded(BaseModel):
    """What the list holds now of what was given, in that order. Sending the same again adds nothing."""

    pattern_ids: list[int]
    count: int = Field(description="How many were given.")
    added: int = Field(description="How many of them are new: the list did not hold the others' like.")
    patterns: list[PatternAnswer] | None = Field(
        description="The patterns in full; null where they would take more than 1 MiB."
    )


class Deleted(BaseModel):
    """It is gone."""

    message: str
