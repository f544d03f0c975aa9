"""The schema as clients see it, and the text of it that is kept in the repository."""

from collections.abc import Callable
from pathlib import Path

import strawberry
from graphql import GraphQLError, GraphQLSchema
from strawberry.extensions import DisableIntrospection, MaxTokensLimiter, SchemaExtension
from strawberry.schema.config import StrawberryConfig
from strawberry.types import ExecutionContext

from callwright.graphql.context import OperationScope
from callwright.graphql.errors import PresentErrors
from callwright.graphql.limits import Limits, deadline, measuring
from callwright.graphql.mutations import Mutation
from callwright.graphql.queries import Query
from callwright.graphql.subscriptions import Subscription
from callwright.graphql.texts import StorableTexts

EXPORTED = Path(__file__).with_name("schema.graphql")


class Schema(strawberry.Schema):
    """Leaves logging to `errors.present`: Strawberry's own would log messages, which may hold a person's data."""

    @property
    def core(self) -> GraphQLSchema:
        """graphql-core's schema beneath."""
        return self._schema

    def process_errors(self, errors: list[GraphQLError], execution_context: ExecutionContext | None = None) -> None:
        return None


def build_schema(limits: Limits, *, production: bool) -> Schema:
    """The schema with its limits; in production without introspection and without hints at field names."""

    def tokens() -> SchemaExtension:
        return MaxTokensLimiter(limits.tokens)

    measured = measuring(limits, lambda: schema.core)
    extensions: list[type[SchemaExtension] | Callable[[], SchemaExtension]] = [
        OperationScope,
        tokens,
        measured,
        StorableTexts,
        deadline(limits),
        PresentErrors,
    ]
    if production:
        extensions.append(DisableIntrospection)
    schema = Schema(
        query=Query,
        mutation=Mutation,
        subscription=Subscription,
        extensions=extensions,
        config=StrawberryConfig(disable_field_suggestions=production),
    )
    return schema


def export() -> str:
    """The schema in GraphQL's schema language, as `schema.graphql` must hold it."""
    return build_schema(Limits(), production=False).as_str() + "\n"
