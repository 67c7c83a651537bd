"""Creates the first user of a database that has none: an admin with a generated password.

The password is returned to be shown once. Only its hash is stored, so a password that was not noted is replaced with
``vedette-admin user reset``.
"""

from __future__ import annotations

from typing import Final

import psycopg

from cloud_functions.api.security.passwords import generated_password, hash_password
from cloud_functions.db.audit.log import AuditEntry, add_entry
from cloud_functions.db.connect import connect_to, database_error
from cloud_functions.db.users.accounts import NewUser, create_user, has_users, lock_users
from infra.local.processes.first_admin import FirstAdmin
from shared.ids import Uuid7Generator

USERNAME: Final = "admin"
EMAIL: Final = "admin@example.com"
"""With which documented clients log in. The domain is reserved: nobody can receive mail there."""


def create_first_admin(url: str) -> FirstAdmin | None:
    """Create the admin and return it; None if the database has a user already.

    Raises:
        ConfigurationError, TransientError: as ``database_error`` says.
    """
    try:
        with connect_to(url) as connection:
            if has_users(connection):  # without a lock, which a start does not need as a rule
                return None
            admin = FirstAdmin(USERNAME, generated_password())
            password_hash = hash_password(admin.password)
            with connection.transaction():
                lock_users(connection)
                if has_users(connection):  # another stack on the same database was faster
                    return None
                user_id = Uuid7Generator()()
                create_user(
                    connection,
                    NewUser(
                        id=user_id, username=admin.username, email=EMAIL, role="admin", password_hash=password_hash
                    ),
                )
                add_entry(
                    connection,
                    AuditEntry(
                        actor_kind="command",
                        actor_name="vedette-local",
                        action="create_user",
                        target=f"user={admin.username}",
                        details={"role": "admin"},
                    ),
                )
    except psycopg.Error as error:
        raise database_error(error) from error
    return admin
