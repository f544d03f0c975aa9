"""Runs Alembic from the package itself, so that an installed wheel can migrate without a checkout."""

from pathlib import Path

from alembic import command
from alembic.config import Config

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
