"""Roles are derived from the table of permissions."""

from __future__ import annotations

from cloud_functions.api.security.permissions import PERMISSIONS
from cloud_functions.api.security.roles import ROLES, is_role, permissions_of


def test_each_role_contains_the_roles_below_it() -> None:
    """An admin has every permission, an operator more than a viewer."""
    assert ROLES["viewer"] < ROLES["operator"] < ROLES["admin"] == set(PERMISSIONS)


def test_a_viewer_changes_nothing_but_the_own_account() -> None:
    """Every other permission of a viewer is to read."""
    assert {name for name in ROLES["viewer"] if not name.endswith(":read")} == {"account:write"}


def test_an_operator_does_not_manage_camera_groups() -> None:
    """Groups decide who sees what, so only an admin changes them."""
    assert "groups:write" not in ROLES["operator"]
    assert {"events:delete", "cameras:write", "watchlists:write"} <= ROLES["operator"]


def test_an_unknown_role_has_no_permissions() -> None:
    """For example a role of a newer release, after a downgrade."""
    assert not is_role("owner")
    assert permissions_of("owner") == frozenset()
