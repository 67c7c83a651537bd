"""``alembic`` from the root of the repository, as the documents run it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import psycopg

from cloud_functions.db.migrate import current_revision, head_revision
from tests.support.backing_services import PostgresFixture

ROOT = Path(__file__).resolve().parents[2]


def alembic(*arguments: str, url: str, root: Path = ROOT) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "alembic", *arguments]
    variables = os.environ | {"DATABASE_URL": url}
    return subprocess.run(command, cwd=root, env=variables, capture_output=True, text=True, timeout=300, check=False)


def test_alembic_upgrades_shows_and_downgrades(postgres: PostgresFixture) -> None:
    """The commands reach the same revisions as the project's own command, and name the revision."""
    postgres.start()
    url = postgres.server.url_of(postgres.new_database(migrated=False))
    done = alembic("upgrade", "head", url=url)
    assert done.returncode == 0, done.stderr
    assert current_revision(url) == head_revision()
    assert f"{head_revision()} (head)" in alembic("current", url=url).stdout
    done = alembic("downgrade", "-1", url=url)
    assert done.returncode == 0, done.stderr
    assert current_revision(url) == f"{int(head_revision()) - 1:04}"
    assert alembic("upgrade", "head", url=url).returncode == 0
    assert current_revision(url) == head_revision()


def test_alembic_refuses_another_systems_database_in_one_line(postgres: PostgresFixture) -> None:
    """The table is named, and nothing is created. Other failures are one line too, without the password."""
    postgres.start()
    url = postgres.server.url_of(postgres.new_database(migrated=False))
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE TABLE cameras (theirs int)")
        done = alembic("upgrade", "head", url=url)
        assert done.returncode != 0
        assert "did not create: cameras;" in done.stderr + done.stdout
        assert "Traceback" not in done.stderr
        assert connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall() == [
            ("cameras",)
        ]
    for wrong, expected in (("", "DATABASE_URL is not set"), ("postgresql://a:sesame@127.0.0.1:1/z", "refused")):
        done = alembic("current", url=wrong)
        assert done.returncode != 0
        assert expected in done.stderr + done.stdout
        assert "Traceback" not in done.stderr
        assert "sesame" not in done.stderr + done.stdout


def test_alembic_creates_a_migration(tmp_path: Path) -> None:
    """``alembic revision`` writes a file in the form of the others, which follows the newest."""
    shutil.copytree(ROOT / "cloud_functions/db/migrations", tmp_path / "cloud_functions/db/migrations")
    shutil.copy(ROOT / "alembic.ini", tmp_path)
    done = alembic("revision", "-m", "add a column", "--rev-id", "9999", url="", root=tmp_path)
    assert done.returncode == 0, done.stderr
    text = (tmp_path / "cloud_functions/db/migrations/versions/r9999_add_a_column.py").read_text(encoding="utf-8")
    assert f'down_revision = "{head_revision()}"' in text.replace("'", '"')
    assert "run_sql(UP)" in text
