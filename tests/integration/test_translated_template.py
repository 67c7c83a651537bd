"""What CloudFormation receives: rules of AWS that no linter checks, and what each function may do.

Each rule stands for a way in which a deployment fails or a function has more rights than its code uses.
"""

from __future__ import annotations

import ast
import functools
import json
from pathlib import Path
from typing import Final

import botocore.session
import grimp
import pytest
from botocore.config import Config

from cloud_functions.fanout.targets import TARGETS
from infra.packaging.functions import FUNCTIONS
from tests.support.translated_template import (
    actions_of,
    alternatives,
    resources_of,
    role_of,
    statements_of_role,
    translated_template,
)

ROOT = Path(__file__).resolve().parents[2]
LAMBDA_FUNCTIONS: Final = resources_of("AWS::Lambda::Function")

CALLS: Final = {
    "api/backends/health_probes.py": {"sns:GetTopicAttributes"},
    "api/backends/stream.py": {"sqs:SendMessage"},
    "db/connect.py": {"secretsmanager:GetSecretValue"},
    "device_commands.py": {"iot:Publish"},
    "fanout/websocket/gateway.py": {"execute-api:ManageConnections"},
    "ingest/back_off.py": {"sqs:ChangeMessageVisibility"},
    "ingest/dead_letters.py": {"sqs:SendMessage"},
    "ingest/publish.py": {"sns:Publish"},
    "maintenance/event_queue.py": {"sqs:SendMessage"},
    "object_storage/bucket.py": {"s3:GetObject", "s3:DeleteObject", "s3:ListBucket"},
    "plates/master_keys.py": {"kms:Decrypt", "kms:GenerateDataKey"},
}
"""The modules that make clients of AWS, and the actions that functions use through them."""
UNUSED: Final = {
    "webhooks": {"kms:GenerateDataKey"},  # only the API makes keys; here they are opened
    "ingest": {"kms:GenerateDataKey"},
    "maintenance": {"kms:Decrypt", "kms:GenerateDataKey"},  # reads the names of keys only
    "migration": {"kms:Decrypt", "kms:GenerateDataKey"},
    "websocket": {"kms:Decrypt", "kms:GenerateDataKey"},
}
"""Actions of a module in a function's artefact that the function does not use."""
OF_LAMBDA: Final = {"logs:CreateLogStream", "logs:PutLogEvents"}
OF_MAPPINGS: Final = {
    "sqs:ReceiveMessage",
    "sqs:DeleteMessage",
    "sqs:GetQueueAttributes",
    "kafka:DescribeCluster",
    "kafka:DescribeClusterV2",
    "kafka:GetBootstrapBrokers",
}
"""What Lambda does with the role of a function that has an event source."""
NAMES: Final = frozenset(
    {
        "AlarmName",
        "BucketName",
        "ClusterName",
        "DBClusterIdentifier",
        "DBInstanceIdentifier",
        "DBProxyName",
        "FunctionName",
        "LogGroupName",
        "ManagedPolicyName",
        "Name",
        "PolicyName",
        "QueueName",
        "RoleAlias",
        "RoleName",
        "TopicName",
    }
)


def test_two_stacks_fit_into_one_account_and_region() -> None:
    """A resource has no name, or one with the stack's name. (A name within an API or a role is not shared.)"""
    within = {"AWS::ApiGatewayV2::Authorizer", "AWS::RDS::DBProxyTargetGroup"}
    fixed = {
        (logical_id, name): value
        for logical_id, resource in translated_template()["Resources"].items()
        if resource["Type"] not in within
        for name, value in resource.get("Properties", {}).items()
        if name in NAMES and "AWS::StackName" not in json.dumps(value) and not _refers(value)
    }
    assert fixed == {}


def _refers(value: object) -> bool:
    return isinstance(value, dict) and bool({"Ref", "Fn::GetAtt"} & set(value))


def test_a_large_batch_has_a_window() -> None:
    """Lambda refuses a mapping of SQS with more than ten messages and no batching window."""
    mappings = resources_of("AWS::Lambda::EventSourceMapping")
    assert len(mappings) > 4
    for name, mapping in mappings.items():
        assert mapping["BatchSize"] <= 10 or mapping["MaximumBatchingWindowInSeconds"] > 0, name


def test_a_creation_that_fails_is_rolled_back() -> None:
    """Nothing that a failed creation made is kept or protected from deletion, if ``Protect`` is false."""
    policies = {one.get("DeletionPolicy") for one in translated_template()["Resources"].values()}
    assert policies == {None, "Delete", "Snapshot", "RetainExceptOnCreate"}
    [cluster] = resources_of("AWS::RDS::DBCluster").values()
    assert cluster["DeletionProtection"] == {"Fn::If": ["Protected", True, False]}


def test_a_schedule_is_its_own_retry() -> None:
    """Scheduler invokes asynchronously, so Lambda would repeat a failed task twice whatever the schedule says."""
    scheduled = {one["Target"]["Arn"]["Fn::GetAtt"][0] for one in resources_of("AWS::Scheduler::Schedule").values()}
    assert len(scheduled) >= 3
    retries = {
        one["FunctionName"]["Ref"]: one["MaximumRetryAttempts"]
        for one in resources_of("AWS::Lambda::EventInvokeConfig").values()
    }
    assert {name: retries.get(name) for name in scheduled} == dict.fromkeys(scheduled, 0)
    for one in resources_of("AWS::Scheduler::Schedule").values():
        assert one["Target"]["RetryPolicy"] == {"MaximumRetryAttempts": 0}


def test_roles_have_no_policies_of_aws() -> None:
    """They allow their actions on all resources of the account. One of the stack's own attaches functions to a VPC."""
    used = {
        json.dumps(policy)
        for role in resources_of("AWS::IAM::Role").values()
        for policy in alternatives(role.get("ManagedPolicyArns", []))
    }
    assert used == {'{"Ref": "FunctionNetworkPolicy"}'}
    allowed, denied = resources_of("AWS::IAM::ManagedPolicy")["FunctionNetworkPolicy"]["PolicyDocument"]["Statement"]
    assert (allowed["Effect"], denied["Effect"]) == ("Allow", "Deny")
    assert actions_of(allowed) == actions_of(denied)
    assert "lambda:SourceFunctionArn" in denied["Condition"]["ArnLike"]


@pytest.mark.parametrize("function", sorted(LAMBDA_FUNCTIONS))
def test_a_function_may_do_what_its_code_does(function: str) -> None:
    """Nothing is missing, and nothing more is allowed."""
    row = _row_of(function)
    role = role_of(function)
    allowed = {action for statement in statements_of_role(role) for action in actions_of(statement)}
    assert allowed >= OF_LAMBDA
    sources = [
        mapping
        for mapping in resources_of("AWS::Lambda::EventSourceMapping").values()
        if mapping["FunctionName"] == {"Ref": function}
    ]
    assert bool(allowed & OF_MAPPINGS) == bool(sources)
    assert allowed - OF_LAMBDA - OF_MAPPINGS == _used_by(row)


def test_functions_reach_aws_from_the_network_of_the_stack() -> None:
    """Its way out has IPv6 only: each service that the code uses has such an address, and every part allows it."""
    services = {service for path in CALLS for service in _services(ROOT / "cloud_functions" / path)}
    assert services >= {"s3", "sns", "sqs", "kms", "secretsmanager", "iot-data", "apigatewaymanagementapi"}
    session, config = botocore.session.get_session(), Config(use_dualstack_endpoint=True)
    for service in services:
        client = session.create_client(
            service, region_name="eu-central-1", config=config, aws_access_key_id="a", aws_secret_access_key="b"
        )
        assert client.meta.endpoint_url.endswith((".api.aws", ".dualstack.eu-central-1.amazonaws.com")), service
    for name, function in LAMBDA_FUNCTIONS.items():
        [variable] = [function["Environment"]["Variables"]["AWS_USE_DUALSTACK_ENDPOINT"]]
        assert variable == {"Fn::If": ["MakeNetwork", "true", ""]}, name
        attached = function["VpcConfig"]["Fn::If"][1]
        assert attached["Ipv6AllowedForDualStack"]["Fn::If"][:2] == ["MakeNetwork", True], name
    assert all(api["IpAddressType"] == "dualstack" for api in resources_of("AWS::ApiGatewayV2::Api").values())
    routes = resources_of("AWS::EC2::Route")
    assert routes["RouteOut"]["DestinationIpv6CidrBlock"] == "::/0"
    assert {"IpProtocol": "-1", "CidrIpv6": "::/0"}.items() <= {
        key: value
        for rule in resources_of("AWS::EC2::SecurityGroup")["FunctionSecurityGroup"]["SecurityGroupEgress"]
        if "CidrIpv6" in rule
        for key, value in rule.items()
    }.items()
    # CloudFormation's own bucket has IPv4 addresses only.
    assert resources_of("AWS::EC2::VPCEndpoint")["S3Endpoint"]["RouteTableIds"] == [{"Ref": "Routes"}]
    waits_for = json.dumps(translated_template()["Resources"]["Schema"]["Properties"]["Network"])
    assert all(f'"{name}"' in waits_for for name in ("RouteOut", "S3Endpoint", "SubnetARoutes", "SubnetBRoutes"))


def test_the_network_is_used_as_a_whole_or_not_at_all() -> None:
    """Whatever is in a VPC is in that of the stack or in that of the parameters, by one condition."""
    parts = {
        name: one.get("Condition")
        for name, one in translated_template()["Resources"].items()
        if one["Type"].startswith("AWS::EC2::") and "SecurityGroup" not in one["Type"]
    }
    assert len(parts) > 15
    assert set(parts.values()) == {"MakeNetwork", "MakeIpv4Exit"}
    text = json.dumps(translated_template()["Resources"])
    own, given = json.dumps([{"Ref": "SubnetA"}, {"Ref": "SubnetB"}]), json.dumps({"Ref": "SubnetIds"})
    chosen = f'{{"Fn::If": ["MakeNetwork", {own}, {given}]}}'
    of_brokers = 2  # a mapping for brokers that are not MSK's names the first two subnets of the parameter
    assert text.count(chosen) + of_brokers == text.count(given)


def test_the_table_of_calls_names_every_client() -> None:
    """A module that makes a client of AWS is in the table, and one in the table makes one."""
    folder = ROOT / "cloud_functions"
    found = {
        str(path.relative_to(folder)) for path in folder.rglob("*.py") if _services(path) and path.name != "aws.py"
    }
    assert found == set(CALLS)


def _row_of(function: str) -> str:
    """Return the row of the packaging table from which a function is built."""
    properties = LAMBDA_FUNCTIONS[function]
    if target := properties["Environment"]["Variables"].get("FANOUT_TARGET"):
        return TARGETS[target].function
    [row] = [name for name, code in FUNCTIONS.items() if code.entry_point == properties["Handler"]]
    return row


@functools.cache
def _imports() -> grimp.ImportGraph:
    return grimp.build_graph("cloud_functions", include_external_packages=False, cache_dir=None)


def _used_by(row: str) -> set[str]:
    """Return the actions of the modules that the handler imports, now or later, and that are in its artefact."""
    code = FUNCTIONS[row]
    # A fan-out function imports its target by the table, which no import graph shows.
    roots = [code.handler, *(one.builder.partition(":")[0] for one in TARGETS.values() if one.function == row)]
    modules = {module for root in roots for module in [root, *_imports().find_upstream_modules(root)]}
    paths = {module.replace(".", "/") + ".py" for module in modules}
    packaged = {path for path in paths if any(path == part or path.startswith(f"{part}/") for part in code.parts)}
    used = {action for path, actions in CALLS.items() if f"cloud_functions/{path}" in packaged for action in actions}
    return used - UNUSED.get(row, set())


def _services(path: Path) -> set[str]:
    """Return the services of the clients that a module makes: ``….client("SERVICE", …)``."""
    return {
        call.args[0].value
        for call in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(call, ast.Call)
        and isinstance(call.func, ast.Attribute)
        and call.func.attr == "client"
        and call.args
        and isinstance(call.args[0], ast.Constant)
        and isinstance(call.args[0].value, str)
    }
