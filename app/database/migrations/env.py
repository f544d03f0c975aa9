"""Alembic's entry point: one transaction under an advisory lock, so that two starting processes do not collide."""

from alembic import context
from sqlalchemy import create_engine, text

from callwright.app.database.metadata import metadata

MIGRATION_LOCK = 0x63_77_6D_69  # "cwmi"


def run() -> None:
    engine = create_engine(context.config.attributes["url"])
    with engine.begin() as connection:
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": MIGRATION_LOCK})
        context.configure(
            connection=connection, target_metadata=metadata, compare_type=True, compare_server_default=True
        )
        context.run_migrations()
    engine.dispose()


run()
