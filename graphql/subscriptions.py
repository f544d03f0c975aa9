"""What can be followed: one call's state, and what is said in it. Whether one may go on is asked before every look."""

from collections.abc import AsyncGenerator
from uuid import UUID

import strawberry

from callwright.app.calls.follow import follow_call, follow_transcript
from callwright.graphql.calls import Call, TranscriptTurn
from callwright.graphql.context import Info
from callwright.graphql.fields import subscription


@strawberry.type
class Subscription:
    @subscription("The call now and after every change of its state, until it has ended and is summarised.")
    async def call_status(self, info: Info, call_id: UUID) -> AsyncGenerator[Call, None]:
        context = info.context
        context.require_actor()
        state = context.state
        async for call in follow_call(state.database, state.live, state.clock, context.authorise, call_id):
            yield Call.of(call)
            # The client was told: the next change's relations are read afresh, and no session is held meanwhile.
            await context.forget()

    @subscription("Every turn of the call once, in order: those said so far, then live, until the call's last one.")
    async def call_transcript(self, info: Info, call_id: UUID) -> AsyncGenerator[TranscriptTurn, None]:
        context = info.context
        context.require_actor()
        state = context.state
        async for turn in follow_transcript(state.database, state.live, state.clock, context.authorise, call_id):
            yield TranscriptTurn.of(turn)
