"""Publishes stored events to the SNS topic: up to ten in a request, several requests in parallel.

A document above a size is compressed, if that is set. One that is still too large comes without its event data.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple, Protocol

from cloud_functions.aws import MAX_BATCH_BYTES, AwsClients, aws_error, entry_batches
from cloud_functions.db.events.record import event_without_data
from cloud_functions.event_messages import CONTENT_ENCODING, GZIP_BASE64, compressed, decompressed, for_xml
from cloud_functions.ingest.storage.documents import EventDocument
from cloud_functions.ingest.validation import ValidatedEvent
from cloud_functions.ingest.watchlist_matcher import MAX_DOCUMENT_MATCHES, PLATE_MATCH, match_document

log = logging.getLogger(__name__)

_ENTRY_OVERHEAD_BYTES: Final = 1024
_MAX_ATTRIBUTES_BYTES: Final = 200 * 1024
"""An upper bound for the attributes of any event, which has at most 100 class names of 200 characters each."""
_REPETITIVE: Final = frozenset({"motion", "detection"})
_PARALLEL_REQUESTS: Final = 8
_MAX_CLASSES: Final = 100
"""Class names in the attributes of an event: the whole message must stay below SNS's limit."""
# SNS and SQS accept only the characters of XML 1.0. A document escapes the others; an attribute replaces them.
_NOT_XML: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


class Publication(NamedTuple):
    """One document for the topic, with the attributes that filter policies use. It fits into one entry."""

    event_id: str
    """The id of the stored event."""
    document: str
    attributes: dict[str, str | list[str]]
    limited: tuple[str, str] | None = None
    """Site and camera of an event that a limit of the camera may suppress; None for one that is always published."""


class EventPublisher(Protocol):
    """Publishes events to subscribers."""

    def publish(self, publications: Sequence[Publication]) -> set[str]:
        """Publish; return the ids of the events that could not be published."""
        ...


class NoPublisher:
    """Publishes nothing, for a deployment without a topic."""

    def publish(self, publications: Sequence[Publication]) -> set[str]:
        del publications
        return set()


class SnsPublisher:
    """Publishes to one SNS topic."""

    def __init__(self, *, topic_arn: str, aws: AwsClients) -> None:
        self._topic_arn = topic_arn
        self._aws = aws

    def publish(self, publications: Sequence[Publication]) -> set[str]:
        batches = list(entry_batches(publications, _entry_bytes))
        if len(batches) <= 1:
            return set().union(*map(self._publish_batch, batches))
        from concurrent.futures import ThreadPoolExecutor

        self._aws.client("sns")  # made once here, so that no thread waits for another to make it
        with ThreadPoolExecutor(min(_PARALLEL_REQUESTS, len(batches))) as pool:
            return set().union(*pool.map(self._publish_batch, batches))

    def _publish_batch(self, publications: Sequence[Publication]) -> set[str]:
        entries = [
            {
                "Id": str(number),
                "Message": publication.document,
                "MessageAttributes": _message_attributes(publication.attributes),
            }
            for number, publication in enumerate(publications)
        ]
        try:
            response = self._aws.client("sns").publish_batch(
                TopicArn=self._topic_arn, PublishBatchRequestEntries=entries
            )
        except Exception as error:  # boto3 raises many types; after any of them the events are published again later
            log.warning("%s", aws_error(error, doing=f"publishing {len(entries)} events"))
            return {publication.event_id for publication in publications}
        failed: list[dict[str, Any]] = response.get("Failed", [])
        for failure in failed:
            log.warning("SNS rejected an event: %s", failure.get("Code"))
        return {publications[int(failure["Id"])].event_id for failure in failed}


def publications(documents: Iterable[EventDocument], *, compress_above_bytes: int | None = None) -> list[Publication]:
    """Return the publications of these events; documents larger than ``compress_above_bytes`` are compressed."""
    return [_limit_size(_publication(stored), compress_above_bytes) for stored in documents]


def match_publications(
    documents: Iterable[EventDocument],
    matches: Mapping[str, list[dict[str, Any]]],
    *,
    compress_above_bytes: int | None = None,
) -> list[Publication]:
    """Return a ``plate_match`` publication for each event that has watch-list matches."""
    if not matches:
        return []
    return [
        _limit_size(_match_publication(document, matches[document.event.row.event_id]), compress_above_bytes)
        for document in documents
        if document.event.row.event_id in matches
    ]


def _publication(stored: EventDocument) -> Publication:
    event, document = stored
    return Publication(event.row.event_id, for_xml(document), _attributes(event), _limited(event))


def _match_publication(stored: EventDocument, matches: list[dict[str, Any]]) -> Publication:
    watchlists = dict.fromkeys(str(match["watchlist"]) for match in matches[:MAX_DOCUMENT_MATCHES])
    attributes = _attributes(stored.event) | {"event_type": PLATE_MATCH, "watchlist": list(watchlists)}
    document = for_xml(match_document(stored.document, matches))
    return Publication(stored.event.row.event_id, document, attributes)


def _limit_size(publication: Publication, compress_above_bytes: int | None) -> Publication:
    """Return a publication that SNS accepts: compressed if it is large, or without its event data.

    SNS would reject a larger one every time, and no subscriber would receive it. ``event_data`` then says ``truncated``
    and where to read the whole event. A match keeps its plate, its first match and the number of matches.
    """
    chars = len(publication.document)
    most_bytes = chars * 4  # in UTF-8; the exact size of a short text need not be known
    if compress_above_bytes is not None and most_bytes > compress_above_bytes:
        publication = _compress(publication, compress_above_bytes)
    if most_bytes + _MAX_ATTRIBUTES_BYTES <= MAX_BATCH_BYTES or _entry_bytes(publication) <= MAX_BATCH_BYTES:
        return publication
    if CONTENT_ENCODING in publication.attributes:
        return _shorten(publication, decompressed(publication.document))
    return _shorten(publication, publication.document)


def _compress(publication: Publication, above_bytes: int) -> Publication:
    """Return the publication compressed, unless it is small or does not become smaller."""
    size = len(publication.document.encode())
    if size <= above_bytes:
        return publication
    body = compressed(publication.document)
    if len(body) >= size:
        return publication
    return publication._replace(document=body, attributes=publication.attributes | {CONTENT_ENCODING: GZIP_BASE64})


def _shorten(publication: Publication, document: str) -> Publication:
    """Return the publication, uncompressed, without the event data of the document."""
    flat, data = event_without_data(document)
    if flat["event_type"] == PLATE_MATCH:
        flat["event_data"] |= {
            "plate_normalized": data["plate_normalized"],
            "watchlist_matches": data["watchlist_matches"][:1],
            "watchlist_match_count": data["watchlist_match_count"],
        }
    short = for_xml(json.dumps(flat, ensure_ascii=False, separators=(",", ":")))
    plain = {name: value for name, value in publication.attributes.items() if name != CONTENT_ENCODING}
    return publication._replace(document=short, attributes=plain)


def _entry_bytes(publication: Publication) -> int:
    attributes = sum(len(_attribute_text(value).encode()) for value in publication.attributes.values())
    return len(publication.document.encode()) + attributes + _ENTRY_OVERHEAD_BYTES


def _attributes(event: ValidatedEvent) -> dict[str, str | list[str]]:
    row, classes = event.row, event.class_names
    attributes: dict[str, str | list[str]] = {
        "event_type": row.event_type,
        "camera_id": row.camera_id,
        "site_id": row.site_id,
    }
    if classes:
        attributes["class_name"] = classes[0] if len(classes) == 1 else list(classes[:_MAX_CLASSES])
    if event.rule:
        attributes["rule"] = event.rule
    if event.plate_token:
        attributes["plate_token"] = event.plate_token
    elif event.license_plate:
        attributes["license_plate"] = event.license_plate
    return attributes


def _limited(event: ValidatedEvent) -> tuple[str, str] | None:
    row = event.row
    if row.event_type in _REPETITIVE or event.is_update:
        return row.site_id, row.camera_id
    return None


def _message_attributes(attributes: dict[str, str | list[str]]) -> dict[str, dict[str, str]]:
    return {
        name: {
            "DataType": "String" if isinstance(value, str) else "String.Array",
            "StringValue": _NOT_XML.sub("\ufffd", _attribute_text(value)),
        }
        for name, value in attributes.items()
    }


def _attribute_text(value: str | list[str]) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
