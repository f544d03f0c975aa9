"""What resolvers are given: the process's state, who is asking, and the operation's reads."""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field

import strawberry
from strawberry.extensions import SchemaExtension
from strawberry.types.graphql import OperationType

from callwright.app.accounts.actor import Actor
from callwright.app.accounts.models import User
from callwright.app.accounts.tokens import authenticate
from callwright.app.errors import CallwrightError, ErrorCode
from callwright.app.state import AppState
from callwright.graphql.loaders import Reads


@dataclass
class Context:
    """One connection's context; `for_operation` gives each operation its own, so that nothing is cached across them.

    `connection_params` is the payload of `connection_init`, set by Strawberry.
    """

    state: AppState
    address: str
    authorization: str | None = None
    connection_params: Mapping[str, object] | None = None
    actor: Actor | None = None
    _reads: Reads | None = field(default=None, repr=False)

    def for_operation(self) -> "Context":
        return Context(self.state, self.address, self.authorization, self.connection_params)

    @property
    def bearer(self) -> str | None:
        """The token of the `Authorization` header, or of `authorization` in the payload of `connection_init`."""
        value: object = self.authorization
        for name, given in (self.connection_params or {}).items():
            if name.lower() == "authorization":
                value = given
        scheme, _, token = value.partition(" ") if isinstance(value, str) else ("", "", "")
        return token.strip() if scheme.lower() == "bearer" else None

    async def identify(self) -> None:
        """Looks up who holds the token, if there is one; an unknown token is nobody's."""
        token = self.bearer
        self.actor = (
            await authenticate(self.state.database, token, self.state.clock.now()) if token is not None else None
        )

    def require_actor(self) -> Actor:
        """Who is asking. Raises `CallwrightError` (UNAUTHENTICATED)."""
        if self.actor is None:
            raise CallwrightError(
                ErrorCode.UNAUTHENTICATED,
                "Sign in first.",
                rule="bearer_token",
                remedy="Send `Authorization: Bearer cw_…` with a token of `signIn` or `createApiToken`.",
            )
        return self.actor

    async def authorise(self) -> Actor:
        """Asks again who holds the token, which may be revoked by now. Raises `CallwrightError` (UNAUTHENTICATED)."""
        await self.identify()
        return self.require_actor()

    async def become(self, user: User) -> None:
        """The operation goes on as the person who has just signed in."""
        await self.forget()
        self.actor = Actor(user.id, user.role)

    @property
    def reads(self) -> Reads:
        """The operation's reads. Raises `CallwrightError` (UNAUTHENTICATED)."""
        if self._reads is None:
            self._reads = Reads(self.state.database, self.require_actor())
        return self._reads

    async def forget(self) -> None:
        """Ends the operation's transaction; what is read next is read afresh."""
        reads, self._reads = self._reads, None
        if reads is not None:
            await reads.close()


class OperationScope(SchemaExtension):
    """Gives each operation its own context, identifies the caller once it is valid, and closes what it opened."""

    async def on_operation(self) -> AsyncIterator[None]:
        context: Context = self.execution_context.context.for_operation()
        self.execution_context.context = context
        if context.connection_params is None:
            # Over HTTP, where Strawberry would run a subscription as if it were a query.
            allowed = self.execution_context.allowed_operations
            self.execution_context.allowed_operations = set(allowed) - {OperationType.SUBSCRIPTION}
        try:
            yield
        finally:
            await context.forget()

    async def on_execute(self) -> AsyncIterator[None]:
        await self.execution_context.context.identify()
        yield


Info = strawberry.Info[Context, None]
