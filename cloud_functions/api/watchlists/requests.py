"""Request models of the watch-lists API: each validates its parameters before a route uses them."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import Path
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, model_validator

from cloud_functions.api.http.parameters import Segment, Time, check_one_line, row_id, unique_name
from cloud_functions.db.watchlists import NewPattern
from cloud_functions.plates.patterns import check_pattern

MAX_PATTERNS_PER_REQUEST = 10_000

Text = Annotated[str, Field(min_length=1, max_length=500), AfterValidator(check_one_line)]
Name = Annotated[str, Field(min_length=1, max_length=100), AfterValidator(unique_name)]
PatternText = Annotated[str, StringConstraints(min_length=1, max_length=200)]


def watchlist_id_in_path(
    watchlist: Annotated[str, Path(description="`watchlist_id` of the watch-list.", examples=["3"])],
) -> int:
    """FastAPI dependency: the watch-list that the path names."""
    return row_id(watchlist, "watchlist")


def pattern_id_in_path(
    pattern: Annotated[str, Path(description="`pattern_id` of the pattern.", examples=["17"])],
) -> int:
    """FastAPI dependency: the pattern that the path names."""
    return row_id(pattern, "pattern")


class WatchlistRequest(BaseModel):
    """Body that creates or replaces a watch-list."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    name: Name = Field(description="Unique name. Subscribers can filter matches by it.", examples=["stolen"])
    description: Text | None = Field(default=None, description="Free text.")
    enabled: bool = Field(default=True, description="Whether patterns of this list are matched.")


class PatternRequest(BaseModel):
    """A pattern to add. Patterns cannot be changed: delete the pattern and add another one."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["exact", "glob", "regex", "fuzzy"] = Field(description="How `pattern` is compared with plates.")
    pattern: PatternText = Field(
        description="For `exact` and `fuzzy`: a plate. For `glob`: `*` matches any characters, `?` one character, and"
        " `[AB]` one of the listed characters; the whole plate must match. For `regex`: matches anywhere in the plate"
        " unless anchored with `^` and `$`; lookaround and back-references are not supported. Case, separators and"
        " accents are ignored, and Cyrillic and Greek letters that look like Latin letters equal them.",
        examples=["B*ABC"],
    )
    max_distance: int | None = Field(
        default=None,
        ge=0,
        le=2,
        description="For `fuzzy`: maximum edit distance. Replacing a character by a similar one counts as a quarter. A"
        " higher value matches more plates.",
    )
    site_id: Segment | None = Field(
        default=None,
        description="For `exact`: store only the token of the plate at this protected site. The pattern then matches at"
        " this site only, and the plate cannot be recovered from it.",
    )
    reason: Text | None = Field(default=None, description="Included in every match.", examples=["reported stolen"])
    expires_at: Time | None = Field(
        default=None, description="Time after which the pattern no longer matches (RFC 3339)."
    )

    @model_validator(mode="after")
    def _check(self) -> PatternRequest:
        try:
            _ = self.stored_text
        except ValueError as error:
            raise ValueError(f"pattern: {error}") from None
        if self.site_id is not None and self.kind != "exact":
            raise ValueError("site_id requires an exact pattern: tokens can only be compared for equality")
        return self

    @property
    def stored_text(self) -> str:
        """The pattern in its stored form."""
        return check_pattern(self.kind, self.pattern, self.max_distance)

    def to_store(self) -> NewPattern:
        """Return the pattern as a database row."""
        return NewPattern(self.kind, self.stored_text, self.max_distance, self.reason, self.expires_at)


class AddPatternsRequest(BaseModel):
    """Patterns to add. Either all of them are added or none."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    patterns: list[PatternRequest] = Field(min_length=1, max_length=MAX_PATTERNS_PER_REQUEST)


class WatchlistPageParameters(BaseModel):
    """Selects one page of the watch-lists."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    limit: int = Field(default=1000, ge=1, le=1000, description="Maximum number of watch-lists.")
    offset: int = Field(default=0, ge=0, le=1_000_000, description="Number of items to skip.")


class PatternPageParameters(BaseModel):
    """Selects one page of the patterns of a watch-list."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    limit: int = Field(default=100, ge=1, le=1000, description="Maximum number of patterns.")
    offset: int = Field(default=0, ge=0, le=1_000_000, description="Number of items to skip.")
