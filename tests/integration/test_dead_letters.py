"""``vedette-admin dead-letters`` on SQS and CloudFormation."""

from __future__ import annotations

import json
from typing import Any
from uuid import uuid4

import boto3
import pytest

from infra.admin.cli import main
from infra.local.servers.aws import aws_environment


@pytest.fixture
def aws(moto_server: str, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    variables = aws_environment(moto_server)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return variables


def test_the_queues_of_a_cloudformation_stack(aws: dict[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    """They are found by their names in the template; each message returns to the queue whose dead letter it is."""
    name = f"vedette-{uuid4().hex[:8]}"
    source = {
        "RedrivePolicy": {"deadLetterTargetArn": {"Fn::GetAtt": ["IngestDeadLetters", "Arn"]}, "maxReceiveCount": 8}
    }
    template: dict[str, Any] = {
        "Resources": {
            "IngestDeadLetters": {"Type": "AWS::SQS::Queue"},
            "IngestQueue": {"Type": "AWS::SQS::Queue", "Properties": source},
        }
    }
    boto3.client("cloudformation").create_stack(StackName=name, TemplateBody=json.dumps(template))
    resources = boto3.client("cloudformation").describe_stack_resources(StackName=name)["StackResources"]
    urls = {resource["LogicalResourceId"]: resource["PhysicalResourceId"] for resource in resources}
    sqs = boto3.client("sqs")
    reason = {"reason": {"DataType": "String", "StringValue": "invalid"}}
    body = json.dumps({"payload_base64": "e30=", "topic": "vedette/hq/gate-01/events/c/motion", "received_at_ms": 1})
    sqs.send_message(QueueUrl=urls["IngestDeadLetters"], MessageBody=body, MessageAttributes=reason)

    assert main(["dead-letters", "list", "--json", "--cloudformation", name], variables=aws) == 0
    [letter] = json.loads(capsys.readouterr().out)["letters"]
    assert (letter["queue"], letter["reason"], letter["device"]) == ("ingest", "invalid", "gate-01")
    assert main(["dead-letters", "re-drive", letter["id"], "--cloudformation", name], variables=aws) == 0
    [message] = sqs.receive_message(QueueUrl=urls["IngestQueue"])["Messages"]
    assert json.loads(message["Body"])["earlier_reasons"] == ["invalid"]
    assert "Messages" not in sqs.receive_message(QueueUrl=urls["IngestDeadLetters"])
