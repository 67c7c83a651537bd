"""The guide's page on object storage names what exists."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

from cloud_functions.object_storage.storage_service import StorageService

PAGE = Path(__file__).resolve().parents[4] / "docs" / "guide" / "object-storage.md"
DOCUMENTED = (
    "upload_file(path, data, content_type, metadata)",
    "download_file(path)",
    "generate_signed_url(path, expires_in_hours)",
    "delete_file(path)",
    "delete_directory(path)",
    "file_exists(path)",
    "get_file_size(path)",
    "list_files(directory)",
    "copy_file(source, dest)",
    "get_bucket_stats()",
)
"""The signatures of the camera management document, in its order."""


def test_the_ten_methods_have_the_documented_signatures() -> None:
    """A call with the document's positional arguments fits each method, and the guide's table lists them in order."""
    for signature in DOCUMENTED:
        name, _, names = signature.removesuffix(")").partition("(")
        method = getattr(StorageService, name)
        assert inspect.iscoroutinefunction(method)
        documented = names.split(", ") if names else []
        assert [*inspect.signature(method).parameters][1 : len(documented) + 1] == documented
    rows = re.findall(r"^\| `(\w+\([^`]*\))` \|", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert tuple(rows) == DOCUMENTED
