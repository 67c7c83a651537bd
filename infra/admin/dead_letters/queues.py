"""The dead-letter queues of a deployment, each with the queue that its messages came from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from cloud_functions.aws import aws_error
from infra.admin.stack import aws_client, aws_endpoint
from infra.local.aws.resources import FANOUT_QUEUES, INGEST_QUEUE, dead_letter_queue, queue_url
from shared.errors import ConfigurationError, PermanentError

INGEST: Final = "ingest"
_IN_TEMPLATE: Final = "DeadLetters"
"""The logical ids of the dead-letter queues in the template end so."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetterQueue:
    """One dead-letter queue."""

    name: str
    """``ingest``, or the name of a fan-out target or of its queue in the template."""
    url: str
    source_url: str | None
    """The queue that messages are sent back to; None if it is only looked up when it is needed."""
    client: Any

    def find_source(self) -> str:
        """Return the address of the source queue; raise PermanentError if no queue names this one as its dead letters.

        A queue with several sources cannot be re-driven, because a message does not say where it came from.
        """
        if self.source_url is not None:
            return self.source_url
        try:
            sources: list[str] = self.client.list_dead_letter_source_queues(QueueUrl=self.url).get("queueUrls", [])
        except Exception as error:
            raise aws_error(error, doing=f"looking up the source of the dead letters of {self.name}") from error
        if len(sources) != 1:
            raise PermanentError(
                f"the dead letters of {self.name} have {len(sources)} source queues, not one: re-drive them in the"
                " console of AWS"
            )
        return sources[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueOptions:
    """Where the queues are."""

    state: Path | None
    cloudformation: str | None
    """Name of a CloudFormation stack whose queues are used."""
    queues: Sequence[str] = ()
    """``NAME=URL`` of dead-letter queues."""


def find_queues(options: QueueOptions, variables: Mapping[str, str]) -> list[DeadLetterQueue]:
    """Return all dead-letter queues; raise ConfigurationError if none is named."""
    if options.state is not None:
        return _local_queues(aws_client("sqs", variables, state=options.state), aws_endpoint(options.state))
    urls = dict(map(_named_url, options.queues))
    if options.cloudformation is not None:
        found = _resources(aws_client("cloudformation", variables, state=None), options.cloudformation)
        urls = found | urls
    ingest = variables.get("DEAD_LETTER_QUEUE_URL", "").strip()
    if ingest:
        urls.setdefault(INGEST, ingest)
    if not urls:
        raise ConfigurationError(
            "no dead-letter queue is named: --state DIR of a one-machine stack, --cloudformation STACK,"
            " --queue-url NAME=URL, or DEAD_LETTER_QUEUE_URL"
        )
    client = aws_client("sqs", variables, state=None)
    sources = {INGEST: variables.get("INGEST_QUEUE_URL", "").strip() or None}
    return [
        DeadLetterQueue(name=name, url=url, source_url=sources.get(name), client=client) for name, url in urls.items()
    ]


def _local_queues(client: Any, endpoint: str) -> list[DeadLetterQueue]:
    return [
        DeadLetterQueue(
            name=name,
            url=queue_url(endpoint, dead_letter_queue(queue)),
            source_url=queue_url(endpoint, queue),
            client=client,
        )
        for name, queue in {INGEST: INGEST_QUEUE, **FANOUT_QUEUES}.items()
    ]


def _named_url(text: str) -> tuple[str, str]:
    name, separator, url = text.partition("=")
    if not separator or not name or "://" not in url:
        raise ConfigurationError(f"--queue-url takes NAME=URL of a dead-letter queue, not {text!r}")
    return name, url


def _resources(client: Any, stack: str) -> dict[str, str]:
    try:
        pages = client.get_paginator("list_stack_resources").paginate(StackName=stack)
        resources = [resource for page in pages for resource in page["StackResourceSummaries"]]
    except Exception as error:
        raise aws_error(error, doing=f"reading the CloudFormation stack {stack}") from error
    found = {
        resource["LogicalResourceId"].removesuffix(_IN_TEMPLATE).lower(): resource["PhysicalResourceId"]
        for resource in resources
        if resource["ResourceType"] == "AWS::SQS::Queue" and resource["LogicalResourceId"].endswith(_IN_TEMPLATE)
    }
    if not found:
        raise ConfigurationError(f"the CloudFormation stack {stack} has no dead-letter queues")
    return found
