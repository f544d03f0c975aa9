"""What can be done. What a client should handle is in the result's type; faults and sign-in problems are errors."""

from datetime import datetime
from typing import Annotated, Self
from uuid import UUID

import strawberry

from callwright.app.accounts.sign_in import sign_in
from callwright.app.accounts.tokens import create_api_token, revoke_api_token, revoke_secret
from callwright.app.calls.cancel import cancel_call
from callwright.app.calls.initiate import InitiateCall, initiate_call
from callwright.app.calls.lifecycle import CallType
from callwright.app.errors import CallwrightError, ErrorCode
from callwright.graphql.calls import Call
from callwright.graphql.context import Info
from callwright.graphql.fields import field
from callwright.graphql.people import ApiToken, Me

# A client cannot handle these: they are errors of the operation, not answers to it.
_FAULTS = frozenset({ErrorCode.UNAUTHENTICATED, ErrorCode.CONFIGURATION})


@strawberry.input(
    description="`phoneNumber` defaults to the lead's, `objective` to the call type's, `scheduledTime` to now."
)
class InitiateCallInput:
    lead_id: UUID
    call_type: CallType
    objective: str | None = None
    phone_number: str | None = None
    scheduled_time: datetime | None = None

    def parsed(self) -> InitiateCall:
        return InitiateCall(
            lead_id=self.lead_id,
            call_type=self.call_type,
            objective=self.objective,
            phone_number=self.phone_number,
            scheduled_time=self.scheduled_time,
        )


@strawberry.type(description="The call is scheduled or queued.")
class CallStarted:
    call: Call


@strawberry.type(description="The call is, or will be once the carrier has hung up, cancelled.")
class CallCanceled:
    call: Call


@strawberry.type(
    description="Nothing was done. `field` names the input it is about, `rule` what decided, `remedy` what you can do, "
    "`until` the next time worth trying."
)
class CallRefusal:
    code: ErrorCode
    field: str | None
    rule: str
    reason: str
    remedy: str
    until: datetime | None

    @classmethod
    def of(cls, error: CallwrightError) -> Self:
        if error.code in _FAULTS:
            raise error
        return cls(
            code=error.code,
            field=error.field,
            rule=error.rule,
            reason=error.message,
            remedy=error.remedy,
            until=error.until,
        )


InitiateCallResult = Annotated[CallStarted | CallRefusal, strawberry.union("InitiateCallResult")]
CancelCallResult = Annotated[CallCanceled | CallRefusal, strawberry.union("CancelCallResult")]


@strawberry.type(description="A session of twelve hours: send `token` as `Authorization: Bearer …`.")
class SignInPayload:
    token: str
    expires_at: datetime
    user: Me


@strawberry.type(description="A new token. `token` is shown now and never again.")
class CreateApiTokenPayload:
    token: str
    api_token: ApiToken


@strawberry.type
class Mutation:
    @field("Asks for a call: at once, or at `scheduledTime`.")
    async def initiate_call(self, info: Info, input: InitiateCallInput) -> InitiateCallResult:
        actor = info.context.require_actor()
        # A relation read for the mutation before this one may be out of date by now.
        await info.context.forget()
        try:
            return CallStarted(call=Call.of(await initiate_call(info.context.state, actor, input.parsed())))
        except CallwrightError as error:
            return CallRefusal.of(error)

    @field("Cancels a scheduled, queued or live call.")
    async def cancel_call(self, info: Info, id: UUID) -> CancelCallResult:
        actor = info.context.require_actor()
        await info.context.forget()
        try:
            return CallCanceled(call=Call.of(await cancel_call(info.context.state, actor, id)))
        except CallwrightError as error:
            return CallRefusal.of(error)

    @field("Errors UNAUTHENTICATED and RATE_LIMITED.")
    async def sign_in(self, info: Info, email: str, password: str) -> SignInPayload | None:
        state = info.context.state
        signed_in = await sign_in(
            state.database,
            state.live.redis,
            email=email,
            password=password,
            address=info.context.address,
            now=state.clock.now(),
        )
        await info.context.become(signed_in.user)
        return SignInPayload(token=signed_in.token.secret, expires_at=signed_in.expires_at, user=Me.of(signed_in.user))

    @field("Ends the session or token this request was made with.")
    async def sign_out(self, info: Info) -> bool:
        info.context.require_actor()
        return await revoke_secret(
            info.context.state.database, info.context.bearer or "", info.context.state.clock.now()
        )

    @field("A personal token for your programs. Errors INVALID_INPUT and INVALID_TIME.")
    async def create_api_token(
        self, info: Info, name: str, expires_at: datetime | None = None
    ) -> CreateApiTokenPayload | None:
        state = info.context.state
        issued = await create_api_token(
            state.database, info.context.require_actor(), name, state.clock.now(), expires_at
        )
        return CreateApiTokenPayload(token=issued.secret, api_token=ApiToken.of(issued.row))

    @field("Ends one of your tokens at once. Error INVALID_INPUT for anyone else's.")
    async def revoke_api_token(self, info: Info, id: UUID) -> ApiToken | None:
        state = info.context.state
        actor = info.context.require_actor()
        return ApiToken.of(await revoke_api_token(state.database, actor, id, state.clock.now()))
