"""Column helpers that every table shares: ids, aware times, enums stored as checked text, JSON."""

from enum import StrEnum
from typing import Any

from sqlalchemy import DateTime, Enum, func
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field, SQLModel

from callwright.app.identifiers import new_id

SQLModel.metadata.naming_convention = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}


def id_field() -> Any:
    """A UUIDv7 primary key."""
    return Field(default_factory=new_id, primary_key=True)


def created_field(*, index: bool = False) -> Any:
    """The time the row was written, by the database's clock."""
    return Field(
        default=None,
        sa_type=DateTime(timezone=True),
        sa_column_kwargs={"server_default": func.now()},
        index=index,
        nullable=False,
    )


def time_field(*, index: bool = False) -> Any:
    """A moment that may not have come yet."""
    return Field(default=None, sa_type=DateTime(timezone=True), nullable=True, index=index)


def required_time(*, index: bool = False) -> Any:
    """A moment that is always known."""
    return Field(sa_type=DateTime(timezone=True), nullable=False, index=index)


def enum_field(
    kind: type[StrEnum], default: StrEnum | None = None, *, nullable: bool = False, index: bool = False
) -> Any:
    """A StrEnum stored as text by value, with a check constraint."""
    column: Any = Enum(
        kind,
        native_enum=False,
        create_constraint=True,
        length=32,
        name=kind.__name__.lower(),
        values_callable=lambda members: [member.value for member in members],
    )
    if default is None and not nullable:
        return Field(sa_type=column, nullable=False, index=index)
    return Field(default=default, sa_type=column, nullable=nullable, index=index)


def json_field() -> Any:
    """A JSON object."""
    return Field(default_factory=dict, sa_type=JSONB, nullable=False)
