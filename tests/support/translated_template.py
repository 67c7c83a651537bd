"""``template.yaml`` as CloudFormation receives it, translated by the library that AWS itself uses."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

from cfnlint.decode import cfn_yaml
from samtranslator.translator.managed_policy_translator import ManagedPolicyLoader
from samtranslator.translator.transform import transform

TEMPLATE = Path(__file__).resolve().parents[2] / "template.yaml"


class _NoManagedPolicies(ManagedPolicyLoader):
    """Knows none of AWS's policies by name: no function uses any. The library would ask IAM for them."""

    def __init__(self) -> None:
        super().__init__(iam_client=None)  # pyright: ignore[reportArgumentType]

    def load(self) -> dict[str, str]:
        return {}


@functools.cache
def translated_template() -> dict[str, Any]:
    """Return the template without anything of SAM; conditions and parameters are left as they are."""
    template = json.loads(json.dumps(cfn_yaml.load(str(TEMPLATE))))
    # `sam package` replaces the folder by an object of this form.
    template["Globals"]["Function"]["CodeUri"] = "s3://artefacts/function.zip"
    with mock.patch.dict("os.environ", {"AWS_DEFAULT_REGION": "eu-central-1"}):
        return transform(template, {}, _NoManagedPolicies())


def resources_of(kind: str) -> dict[str, dict[str, Any]]:
    """Return the translated resources of a type: their properties by logical id."""
    return {
        name: one.get("Properties", {})
        for name, one in translated_template()["Resources"].items()
        if one["Type"] == kind
    }


def alternatives(value: Any) -> Iterator[Any]:
    """Yield the values that ``Fn::If`` selects from, however deep; ``AWS::NoValue`` is left out."""
    if isinstance(value, dict) and [*value] == ["Fn::If"]:
        for one in value["Fn::If"][1:]:
            yield from alternatives(one)
    elif isinstance(value, list):
        for one in value:
            yield from alternatives(one)
    elif value != {"Ref": "AWS::NoValue"}:
        yield value


def statements_of_role(role: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the statements of a role's own policies, whatever their conditions."""
    policies = alternatives(role.get("Policies", []))
    return [statement for policy in policies for statement in policy["PolicyDocument"]["Statement"]]


def role_of(function: str) -> dict[str, Any]:
    """Return the role of a function."""
    role = resources_of("AWS::Lambda::Function")[function]["Role"]["Fn::GetAtt"][0]
    return resources_of("AWS::IAM::Role")[role]


def actions_of(statement: dict[str, Any]) -> list[str]:
    """Return the actions of a statement."""
    actions = statement["Action"]
    return actions if isinstance(actions, list) else [actions]
