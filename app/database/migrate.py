"""Runs Alembic from the package itself, so that an installed wheel can migrate without a checkout."""

from pathlib import Path

import sqlalchemy
from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from callwright.app.database.sessions import async_url

MIGRATIONS = Path(__file__).with_name("migrations")


def alembic_config(database_url: str) -> Config:
    """Alembic's configuration for `database_url`."""
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["url"] = async_url(database_url)
    return config


def upgrade(database_url: str, revision: str = "head") -> None:
    """Brings the database to `revision`. Concurrent runs wait for each other on an advisory lock."""
    command.upgrade(alembic_config(database_url), revision)


def downgrade(database_url: str, revision: str = "base") -> None:
    """Takes the database back to `revision`."""
    command.downgrade(alembic_config(database_url), revision)


def bring_to(database_url: str, revision: str) -> None:
    """Brings the database up or down to `revision` (`head` and `base` too), whichever way it lies.

    Raises alembic's `CommandError` for a revision there is none of.
    """
    config = alembic_config(database_url)
    script = ScriptDirectory.from_config(config)
    target = script.get_revision(revision)
    if target is None or revision == "base":
        command.downgrade(config, "base")
        return
    current = _current(database_url)
    passed = {step.revision for step in script.iterate_revisions(current, "base")} if current else set()
    if target.revision in passed:
        command.downgrade(config, target.revision)
    else:
        command.upgrade(config, target.revision)


def _current(database_url: str) -> str | None:
    engine = sqlalchemy.create_engine(async_url(database_url))
    try:
        with engine.connect() as connection:
            return MigrationContext.configure(connection).get_current_revision()
    finally:
        engine.dispose()
