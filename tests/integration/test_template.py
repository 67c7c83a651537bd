"""template.yaml is valid, agrees with the contracts and the code, and grants minimal permissions."""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cfnlint.decode import cfn_yaml

from cloud_functions.api.http.middleware import cors
from cloud_functions.db.migrate import head_revision
from cloud_functions.fanout.targets import TARGETS
from infra.packaging.functions import FUNCTIONS, PLATFORM, PYTHON_VERSION
from shared.topics import EVENTS_FILTER, HEARTBEAT_FILTER, REPLIES_FILTER, STATUS_FILTER, DeviceTopics

ROOT = Path(__file__).resolve().parents[2]
MAKEFILE = ROOT / "infra/packaging/Makefile"
# Variables that Lambda, boto3 and configure_logging read.
NOT_OURS = {"PYTHONNODEBUGRANGES", "LOG_LEVEL", "AWS_USE_DUALSTACK_ENDPOINT"}


@pytest.fixture(scope="module")
def template() -> dict[str, Any]:
    return cfn_yaml.load(str(ROOT / "template.yaml"))


def _of_type(template: dict[str, Any], kind: str) -> dict[str, dict[str, Any]]:
    return {name: each["Properties"] for name, each in template["Resources"].items() if each["Type"] == kind}


def _policies(value: Any) -> Iterator[dict[str, Any]]:
    """Yield every policy statement at any depth of ``value``."""
    if isinstance(value, dict):
        statements = value.get("Statement")
        yield from statements if isinstance(statements, list) else ()
        for inner in value.values():
            yield from _policies(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _policies(inner)


def test_template_passes_cfn_lint() -> None:
    """cfn-lint reports no error and no warning."""
    cfn_lint = Path(sys.executable).with_name("cfn-lint")
    done = subprocess.run([cfn_lint, ROOT / "template.yaml"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_iot_rules_match_the_topics_and_the_envelope(template: dict[str, Any]) -> None:
    """Each topic filter of ``shared.topics`` has a rule, and each rule writes ``shared.iot_envelope``."""
    rules = [rule["TopicRulePayload"] for rule in _of_type(template, "AWS::IoT::TopicRule").values()]
    found: set[str] = set()
    for rule in rules:
        matched = re.fullmatch(r"SELECT (.+) FROM '([^']+)'", rule["Sql"])
        assert matched is not None
        assert matched[1].split(", ") == [
            "encode(*",
            "'base64') AS payload_base64",
            "topic() AS topic",
            "clientid() AS client_id",
            "timestamp() AS received_at_ms",
        ]
        found.add(matched[2])
        assert rule["AwsIotSqlVersion"] == "2016-03-23"
        assert [*rule["Actions"][0]] == ["Sqs"]
        assert rule["ErrorAction"]["Sqs"]["QueueUrl"] == {"Ref": "IngestDeadLetters"}
    assert found == {EVENTS_FILTER, HEARTBEAT_FILTER, STATUS_FILTER, REPLIES_FILTER}


def test_a_device_may_use_its_own_topics_and_no_others(template: dict[str, Any]) -> None:
    """For a given thing, the policy allows exactly the topics of ``DeviceTopics``."""
    [policy] = _of_type(template, "AWS::IoT::Policy").values()
    mine = DeviceTopics(site_id="hq", device_id="gate-01")
    allowed: dict[str, set[str]] = {}
    for statement in policy["PolicyDocument"]["Statement"]:
        resources = statement["Resource"] if isinstance(statement["Resource"], list) else [statement["Resource"]]
        for action in statement["Action"] if isinstance(statement["Action"], list) else [statement["Action"]]:
            allowed.setdefault(action, set()).update(_device_resource(resource) for resource in resources)
    assert allowed["iot:Connect"] == {"client/gate-01"}
    assert allowed["iot:Publish"] == {
        f"topic/{mine.base}/events/*",
        f"topic/{mine.heartbeat}",
        f"topic/{mine.base}/replies/*",
        f"topic/{mine.status}",
    }
    assert allowed["iot:RetainPublish"] == {f"topic/{mine.status}"}
    assert allowed["iot:Subscribe"] == {f"topicfilter/{mine.base}/commands/*"}
    assert allowed["iot:Receive"] == {f"topic/{mine.base}/commands/*"}


@pytest.mark.parametrize("function", ["IngestFunction", "ApiFunction", "MaintenanceFunction"])
def test_a_function_may_send_commands_and_publish_nothing_else(template: dict[str, Any], function: str) -> None:
    """What a function publishes can reach devices as commands only: never as an event, a heartbeat or a reply."""
    statements = list(_policies(template["Resources"][f"{function}Role"]))
    iot = [statement for statement in statements if "iot:" in str(statement["Action"])]
    assert [statement["Action"] for statement in iot] == ["iot:Publish"]
    topic = iot[0]["Resource"]["Fn::Sub"].rsplit("${AWS::AccountId}:", 1)[1]
    assert topic == "topic/vedette/*/*/commands/*"


def test_maintenance_may_send_events_to_the_queues_of_its_environment_only(template: dict[str, Any]) -> None:
    """Events about silent devices go to ingest, replays to that of their target. The API knows the same targets."""
    properties = template["Resources"]["MaintenanceFunction"]["Properties"]
    statements = list(_policies(template["Resources"]["MaintenanceFunctionRole"]["Properties"]["Policies"]))
    writable = {
        statement["Resource"]["Fn::GetAtt"][0] for statement in statements if "sqs:" in str(statement["Action"])
    }
    variables = properties["Environment"]["Variables"]
    assert variables["INGEST_QUEUE_URL"] == {"Ref": "IngestQueue"}
    entries = [
        entry.get("Fn::If", [None, entry])[1]["Fn::Sub"].split("=")
        for entry in variables["FANOUT_QUEUES"]["Fn::Join"][1]
    ]
    queues = {target: queue.removeprefix("${").removesuffix("}") for target, queue in entries}
    assert writable == {"IngestQueue", *queues.values()}
    assert queues == {
        function["Environment"]["Variables"]["FANOUT_TARGET"]: function["Events"]["Messages"]["Properties"]["Queue"][
            "Fn::GetAtt"
        ][0]
        for function in _of_type(template, "AWS::Serverless::Function").values()
        if function["Handler"] == FUNCTIONS["fanout"].entry_point
    }
    api = template["Resources"]["ApiFunction"]["Properties"]["Environment"]["Variables"]
    assert api["FANOUT_QUEUES"] == variables["FANOUT_QUEUES"]


def _device_resource(resource: dict[str, Any]) -> str:
    if "Fn::Sub" not in resource:
        return str(resource)
    text: str = resource["Fn::Sub"]
    text = text.replace("${!iot:Connection.Thing.Attributes[site_id]}", "hq")
    return text.replace("${!iot:Connection.Thing.ThingName}", "gate-01").rsplit("${AWS::AccountId}:", 1)[1]


def test_a_device_may_write_its_own_pictures_and_nothing_else(template: dict[str, Any]) -> None:
    """The role allows one action on two prefixes, which the credentials provider binds to the thing's name."""
    [statement] = template["Resources"]["DeviceRole"]["Properties"]["Policies"][0]["PolicyDocument"]["Statement"]
    assert statement["Action"] == "s3:PutObject"
    assert [resource["Fn::Sub"] for resource in statement["Resource"]] == [
        "${SnapshotBucket.Arn}/snapshots/${!credentials-iot:ThingName}/*",
        "${SnapshotBucket.Arn}/thumbnails/${!credentials-iot:ThingName}/*",
    ]


def test_no_statement_has_wildcard_actions_or_resources(template: dict[str, Any]) -> None:
    """No statement allows all actions of a service, or all resources."""
    statements = [statement for statement in _policies(template["Resources"]) if statement["Effect"] == "Allow"]
    assert len(statements) > 15
    for statement in statements:
        actions = statement["Action"] if isinstance(statement["Action"], list) else [statement["Action"]]
        assert all(not action.endswith("*") for action in actions), statement
        if statement.get("Sid") != "AttachToVpc":  # the actions have no narrower resources
            assert statement.get("Resource") != "*", statement


def test_each_function_agrees_with_the_packaging_table(template: dict[str, Any]) -> None:
    """Handler, runtime and platform agree with the packaging table, and the Makefile has the build target."""
    functions = _of_type(template, "AWS::Serverless::Function")
    rows = {name: _built_by_make(name) for name in functions}
    assert set(rows.values()) == set(FUNCTIONS)
    for name, row in rows.items():
        assert functions[name]["Handler"] == FUNCTIONS[row].entry_point
        assert importlib.util.find_spec(FUNCTIONS[row].handler) is not None
        assert template["Resources"][name]["Metadata"] == {"BuildMethod": "makefile", "WorkingDirectory": "."}
    common = template["Globals"]["Function"]
    assert common["Runtime"] == f"python{PYTHON_VERSION}"
    assert common["Architectures"] == ["arm64"]
    assert PLATFORM.startswith("aarch64-")


def test_the_schema_comes_before_the_code(template: dict[str, Any]) -> None:
    """The custom resource requires the newest revision, and every function that uses the database waits for it."""
    schema = template["Resources"]["Schema"]
    assert schema["Properties"]["Revision"] == head_revision()
    assert schema["Properties"]["ServiceToken"] == {"Fn::GetAtt": ["MigrationFunction", "Arn"]}
    timeout_s = template["Resources"]["MigrationFunction"]["Properties"]["Timeout"]
    attempts = 1 + template["Resources"]["MigrationFunction"]["Properties"]["EventInvokeConfig"]["MaximumRetryAttempts"]
    assert schema["Properties"]["ServiceTimeout"] >= timeout_s * attempts
    waiting = {
        name: resource.get("DependsOn")
        for name, resource in template["Resources"].items()
        if resource["Type"] == "AWS::Serverless::Function"
        and "secretsmanager" in str(template["Resources"][f"{name}Role"]["Properties"]["Policies"])
    }
    assert waiting.pop("MigrationFunction") is None
    assert len(waiting) == len(FUNCTIONS) - 2  # without migration, and fan-out to Redis, which has no database
    assert set(waiting.values()) == {"Schema"}


def _built_by_make(logical_id: str) -> str:
    """Return the row of ``FUNCTIONS`` that make builds for a function of the template."""
    command = ["make", "-n", "-f", str(MAKEFILE), f"build-{logical_id}"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    built = re.search(r" -m infra\.packaging\.build (\w+) ", done.stdout)
    assert built is not None, done.stdout
    return built[1]


def test_each_fan_out_target_has_its_own_function_and_queue(template: dict[str, Any]) -> None:
    """The targets are those of the table. Each queue is subscribed to the topic, has dead letters and an alarm."""
    functions = {
        name: function
        for name, function in _of_type(template, "AWS::Serverless::Function").items()
        if function["Handler"] == FUNCTIONS["fanout"].entry_point
    }
    variables = {name: function["Environment"]["Variables"] for name, function in functions.items()}
    assert sorted(values["FANOUT_TARGET"] for values in variables.values()) == sorted(TARGETS)
    assert all(TARGETS[values["FANOUT_TARGET"]].variable in values for values in variables.values())
    queues = [function["Events"]["Messages"]["Properties"]["Queue"] for function in functions.values()]
    topic = {"Ref": "EventsTopic"}
    subscribed = [
        subscription["Endpoint"]
        for subscription in _of_type(template, "AWS::SNS::Subscription").values()
        if subscription["Protocol"] == "sqs"
        and subscription["RawMessageDelivery"]
        and subscription["TopicArn"] == topic
    ]
    writable = [
        statement["Resource"]
        for policy in _of_type(template, "AWS::SQS::QueuePolicy").values()
        for statement in policy["PolicyDocument"]["Statement"]
        if statement["Condition"] == {"ArnEquals": {"aws:SourceArn": topic}}
    ]
    assert len(set(map(str, queues))) == len(TARGETS)
    assert sorted(map(str, queues)) == sorted(map(str, subscribed))
    # A subscription keeps what it cannot deliver in the dead letters of its queue.
    assert sorted(str(queue) for queue, _ in writable) == sorted(map(str, queues))
    for subscription in _of_type(template, "AWS::SNS::Subscription").values():
        dead_letters = subscription["RedrivePolicy"]["deadLetterTargetArn"]
        assert [subscription["Endpoint"], dead_letters] in writable


def test_the_code_reads_every_environment_variable(template: dict[str, Any]) -> None:
    """Otherwise a function would silently use the default of a renamed setting."""
    readers = [ROOT / "cloud_functions/settings.py", ROOT / "cloud_functions/api/settings.py"]
    text = "".join(reader.read_text(encoding="utf-8") for reader in readers)
    names = set(template["Globals"]["Function"]["Environment"]["Variables"])
    for function in _of_type(template, "AWS::Serverless::Function").values():
        names |= set(function["Environment"]["Variables"])
    assert {name for name in names - NOT_OURS if f'"{name}"' not in text} == set()


def test_kafka_is_optional_and_loses_nothing(template: dict[str, Any]) -> None:
    """Both event source mappings are optional, start at the oldest record and retry single records, with the setting
    without which Lambda would treat every response as a success."""
    mappings = _of_type(template, "AWS::Lambda::EventSourceMapping")
    assert set(mappings) == {"IngestFromMskMapping", "IngestFromBrokersMapping"}
    assert template["Parameters"]["KafkaTopic"]["Default"] == ""
    for name, mapping in mappings.items():
        assert template["Resources"][name]["Condition"] == name.removesuffix("Mapping")
        assert mapping["FunctionName"] == {"Ref": "IngestFunction"}
        assert mapping["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
        assert mapping["ProvisionedPollerConfig"]["MinimumPollers"] >= 1
        assert mapping["StartingPosition"] == "TRIM_HORIZON"
        assert "MaximumRetryAttempts" not in mapping
        assert "MaximumRecordAgeInSeconds" not in mapping
    variables = template["Resources"]["IngestFunction"]["Properties"]["Environment"]["Variables"]
    assert variables["KAFKA_PARTIAL_RESPONSES"] == "true"


def test_every_queue_has_dead_letters_and_encryption(template: dict[str, Any]) -> None:
    """Queues redrive to dead letters, their visibility timeout is six times the function's, and all are encrypted."""
    queues = _of_type(template, "AWS::SQS::Queue")
    working = [name for name in queues if not name.endswith("DeadLetters")]
    assert len(working) == 1 + len(TARGETS)
    for name in working:
        assert queues[name]["RedrivePolicy"]["deadLetterTargetArn"] == {
            "Fn::GetAtt": [name.replace("Queue", "DeadLetters"), "Arn"]
        }
        function = template["Resources"][name.replace("Queue", "Function")]["Properties"]
        timeout = function.get("Timeout", template["Globals"]["Function"]["Timeout"])
        assert queues[name]["VisibilityTimeout"] >= 6 * timeout
    assert all(queue["SqsManagedSseEnabled"] for queue in queues.values())


def test_cloud_b6_guide_documents_retries_and_redrive(template: dict[str, Any]) -> None:
    """The documented waiting time and attempts are those of the queue, and the command to redrive is documented."""
    guide = (ROOT / "docs" / "guide" / "deploy-aws.md").read_text(encoding="utf-8")
    section = " ".join(guide.partition("### After an outage")[2].split())
    queue = template["Resources"]["IngestQueue"]["Properties"]
    minutes, attempts = queue["VisibilityTimeout"] // 60, queue["RedrivePolicy"]["maxReceiveCount"]
    words = dict(enumerate(["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"]))
    assert f"the queue's visibility timeout ({words.get(minutes, minutes)} minutes)" in section
    assert (
        f"returned {words.get(attempts, attempts)} times (a database outage of about {minutes * attempts} min"
        in section
    )
    assert "vedette-admin dead-letters re-drive --all --reason not_processed" in section


def test_dead_letters_and_a_standstill_raise_alarms(template: dict[str, Any]) -> None:
    """Rejected messages and messages that wait too long have an alarm."""
    alarmed = {str(alarm["Dimensions"][0]["Value"]) for alarm in _of_type(template, "AWS::CloudWatch::Alarm").values()}
    dead_letters = [name for name in _of_type(template, "AWS::SQS::Queue") if name.endswith("DeadLetters")]
    for queue in (*dead_letters, "IngestQueue"):
        assert str({"Fn::GetAtt": [queue, "QueueName"]}) in alarmed, queue


def test_pictures_are_private(template: dict[str, Any]) -> None:
    """The bucket has no public access, is encrypted, expires objects, and requires TLS."""
    bucket = template["Resources"]["SnapshotBucket"]["Properties"]
    assert all(bucket["PublicAccessBlockConfiguration"].values())
    assert len(bucket["PublicAccessBlockConfiguration"]) == 4
    assert bucket["BucketEncryption"]
    assert bucket["LifecycleConfiguration"]["Rules"][0]["ExpirationInDays"] == {"Ref": "SnapshotRetentionDays"}
    [deny] = template["Resources"]["SnapshotBucketPolicy"]["Properties"]["PolicyDocument"]["Statement"]
    assert (deny["Effect"], deny["Condition"]) == ("Deny", {"Bool": {"aws:SecureTransport": "false"}})


def test_the_api_requires_authentication_by_default(template: dict[str, Any]) -> None:
    """With default parameters, callers must sign their requests."""
    assert template["Parameters"]["ApiAuthorization"]["Default"] == "AWS_IAM"
    assert template["Resources"]["HttpApiRoute"]["Properties"]["AuthorizationType"] == {
        "Fn::If": ["UseUsers", "NONE", {"Ref": "ApiAuthorization"}]
    }


def test_health_needs_no_credentials(template: dict[str, Any]) -> None:
    """Under each of its paths, whatever the API requires for the others."""
    open_keys = {
        route["RouteKey"]
        for route in _of_type(template, "AWS::ApiGatewayV2::Route").values()
        if route["ApiId"] == {"Ref": "HttpApi"} and route["AuthorizationType"] == "NONE"
    }
    assert open_keys == {"ANY /health", "ANY /api/health", "ANY /api/v1/health"}


def test_the_websocket_has_the_three_routes_of_its_handler(template: dict[str, Any]) -> None:
    """All go to the API function, which answers messages. Only the fan-out function may send to connections."""
    routes = {
        route["RouteKey"]: route
        for route in _of_type(template, "AWS::ApiGatewayV2::Route").values()
        if route["ApiId"] == {"Ref": "WebSocketApi"}
    }
    assert set(routes) == {"$connect", "$default", "$disconnect"}
    assert {str(route["Target"]) for route in routes.values()} == {
        str({"Fn::Sub": "integrations/${WebSocketIntegration}"})
    }
    integration = template["Resources"]["WebSocketIntegration"]["Properties"]
    assert "${ApiFunction.Arn}" in integration["IntegrationUri"]["Fn::Sub"]
    assert routes["$default"]["RouteResponseSelectionExpression"] == "$default"
    senders = [
        name
        for name, role in _of_type(template, "AWS::IAM::Role").items()
        if "execute-api:ManageConnections" in json.dumps(role)
    ]
    assert senders == ["WebSocketFunctionRole"]


def test_the_gateway_answers_browsers_like_the_application(template: dict[str, Any]) -> None:
    """Pages of other sites may use each method and header of the API, and read each header of its responses."""
    [_, allowed, _] = template["Resources"]["HttpApi"]["Properties"]["CorsConfiguration"]["Fn::If"]
    assert allowed["AllowMethods"] == cors.METHODS.split(", ")
    assert allowed["AllowHeaders"] == cors.HEADERS.lower().split(", ")
    assert allowed["ExposeHeaders"] == cors.EXPOSED.lower().split(", ")


@pytest.mark.parametrize("environment", ["default", "prod"])
def test_samconfig_sets_parameters_that_exist(template: dict[str, Any], environment: str) -> None:
    """Both environments deploy without a question; only the one to try things with can be deleted at once."""
    with (ROOT / "samconfig.toml").open("rb") as file:
        options = tomllib.load(file)[environment]
    given = dict(one.split("=") for one in options["deploy"]["parameters"]["parameter_overrides"])
    parameters = template["Parameters"]
    for name, value in given.items():
        allowed = [str(one) for one in parameters[name].get("AllowedValues", [value])]
        assert value in allowed, name
    assert given["Protect"] == ("true" if environment == "prod" else "false")
    assert {name for name, one in parameters.items() if "Default" not in one} <= set(given)


def test_template_has_no_yaml_aliases() -> None:
    """CloudFormation does not support them."""
    text = (ROOT / "template.yaml").read_text(encoding="utf-8")
    assert re.findall(r"(?m)(?:^|[\s\[{,])[&*][A-Za-z][\w-]*\s*$", text) == []
