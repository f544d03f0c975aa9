"""What can be asked. Every read runs in the caller's tenant session; what is not the caller's is not found."""

from datetime import datetime
from uuid import UUID

import strawberry

from callwright.app.accounts import queries as accounts
from callwright.app.calls import queries as calls
from callwright.app.calls.lifecycle import CallStatus, CallType
from callwright.app.calls.stats import call_stats
from callwright.app.costs.report import cost_report
from callwright.app.errors import CallwrightError, ErrorCode
from callwright.app.leads import queries as leads
from callwright.app.leads.models import LeadStatus
from callwright.app.pagination import DEFAULT_PAGE
from callwright.graphql.calls import Call, CallRecording, TranscriptTurn, recording_of, transcript_of
from callwright.graphql.context import Info
from callwright.graphql.fields import field
from callwright.graphql.limits import LIST_ROWS, Limits
from callwright.graphql.people import ApiToken, Lead, Me
from callwright.graphql.reports import CallCostReport, CallStats
from callwright.graphql.scalars import Connection, connection


def _with_zone(moment: datetime | None, field: str) -> datetime | None:
    """Raises `CallwrightError` (INVALID_TIME) for a time that is another moment in every zone."""
    if moment is not None and moment.tzinfo is None:
        raise CallwrightError(
            ErrorCode.INVALID_TIME,
            "The time has no zone.",
            field=field,
            rule="time_zone",
            remedy="Add an offset, such as 2026-12-01T15:00:00-05:00.",
        )
    return moment


@strawberry.input(description="`from` is inclusive, `to` exclusive, both of the time the call was asked for.")
class AdminCallFilter:
    status: CallStatus | None = None
    call_type: CallType | None = None
    business_id: UUID | None = None
    since: datetime | None = strawberry.field(name="from", default=None)
    before: datetime | None = strawberry.field(name="to", default=None)

    def parsed(self) -> calls.CallFilter:
        return calls.CallFilter(
            status=self.status,
            call_type=self.call_type,
            business_id=self.business_id,
            since=_with_zone(self.since, "filter.from"),
            before=_with_zone(self.before, "filter.to"),
        )


_LIMITS = Limits()


@strawberry.type(
    description=f"An operation may have {_LIMITS.depth} levels of fields, {_LIMITS.aliases} aliases and "
    f"{_LIMITS.tokens} tokens, and may resolve {_LIMITS.complexity} fields: each counts once for every row, a "
    f"connection's by its `first`, a list's {LIST_ROWS} times. "
    f"A query runs for at most {_LIMITS.query_seconds:g} seconds."
)
class Query:
    @field("The signed-in person.")
    async def me(self, info: Info) -> Me | None:
        async with info.context.reads.session() as session:
            return Me.of(await accounts.current_user(session))

    @field("Your tokens, the newest first; sign-ins are among them.")
    async def api_tokens(self, info: Info) -> list[ApiToken]:
        async with info.context.reads.session() as session:
            return [ApiToken.of(row) for row in await accounts.api_tokens(session)]

    @field("Service requests: a business's own, a consumer's own, all to an administrator.")
    async def leads(
        self, info: Info, first: int = DEFAULT_PAGE, after: str | None = None, status: LeadStatus | None = None
    ) -> Connection[Lead] | None:
        async with info.context.reads.session() as session:
            page = await leads.list_leads(session, status=status, first=first, after=after)
        return connection(page, Lead.of)

    @field("Error LEAD_NOT_FOUND for an unknown lead or somebody else's.")
    async def lead(self, info: Info, id: UUID) -> Lead | None:
        async with info.context.reads.session() as session:
            return Lead.of(await leads.get_lead(session, id))

    @field("Error CALL_NOT_FOUND for an unknown call or somebody else's.")
    async def call(self, info: Info, id: UUID) -> Call | None:
        async with info.context.reads.session() as session:
            return Call.of(await calls.get_call(session, id))

    @field("One lead's calls. Error LEAD_NOT_FOUND.")
    async def calls_by_lead(
        self, info: Info, lead_id: UUID, first: int = DEFAULT_PAGE, after: str | None = None
    ) -> Connection[Call] | None:
        async with info.context.reads.session() as session:
            page = await calls.calls_by_lead(session, lead_id, first=first, after=after)
        return connection(page, Call.of)

    @field("What was said, by attempt and in order. Error CALL_NOT_FOUND.")
    async def call_transcript(self, info: Info, call_id: UUID) -> list[TranscriptTurn] | None:
        async with info.context.reads.session() as session:
            await calls.get_call(session, call_id, field="callId")
        return await transcript_of(info, call_id)

    @field("A link to the audio that works for an hour; null when there is none. Error CALL_NOT_FOUND.")
    async def call_recording(self, info: Info, call_id: UUID) -> CallRecording | None:
        async with info.context.reads.session() as session:
            await calls.get_call(session, call_id, field="callId")
        return await recording_of(info, call_id)

    @field("Figures of the calls you may see, over 1 to 365 days.")
    async def call_stats(self, info: Info, days: int = 30) -> CallStats | None:
        async with info.context.reads.session() as session:
            return CallStats.of(await call_stats(session, days, info.context.state.clock.now()))

    @field("Everybody's calls. Error FORBIDDEN to anyone but an administrator.")
    async def admin_calls(
        self, info: Info, filter: AdminCallFilter | None = None, first: int = DEFAULT_PAGE, after: str | None = None
    ) -> Connection[Call] | None:
        async with info.context.reads.session() as session:
            wanted = filter.parsed() if filter else calls.CallFilter()
            page = await calls.admin_calls(session, wanted, first=first, after=after)
        return connection(page, Call.of)

    @field("Costs over 1 to 365 days. Error FORBIDDEN to anyone but an administrator.")
    async def admin_call_costs(self, info: Info, days: int = 30) -> CallCostReport | None:
        async with info.context.reads.session() as session:
            return CallCostReport.of(await cost_report(session, days, info.context.state.clock.now()))
