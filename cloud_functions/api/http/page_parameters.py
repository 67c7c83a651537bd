"""The query parameters that select a page of a list of settings (users, API keys, webhooks)."""

from __future__ import annotations

from typing import Final

from pydantic import BaseModel, ConfigDict, Field

MAX_PAGE_SIZE: Final = 500


class PageParameters(BaseModel):
    """Selects one page."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    page: int = Field(default=1, ge=1, le=100_000, description="Number of the page.")
    page_size: int = Field(default=50, ge=1, le=MAX_PAGE_SIZE, description="Items on a page.")

    @property
    def offset(self) -> int:
        """Number of items before the page."""
        return (self.page - 1) * self.page_size
