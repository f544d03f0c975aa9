"""What a client learns of an error, and what the log does."""

from uuid import uuid4

import psycopg
from structlog.testing import capture_logs

from callwright.app.leads.models import Lead
from callwright.app.state import AppState
from tests.conftest import SettableClock
from tests.graphql.client import Client
from tests.graphql.conftest import Callers
from tests.graphql.stories import finished_call
from tests.world import World

PROTECTED = (
    "{ me { id } }",
    "{ leads { edges { cursor } } }",
    "{ callStats { totalCalls } }",
    "{ adminCalls { edges { cursor } } }",
    "{ adminCallCosts { totalCalls } }",
    'mutation { createApiToken(name: "x") { token } }',
    f'{{ call(id: "{uuid4()}") {{ id }} }}',
    f'{{ lead(id: "{uuid4()}") {{ id }} }}',
    f'{{ callsByLead(leadId: "{uuid4()}") {{ edges {{ cursor }} }} }}',
    f'{{ callTranscript(callId: "{uuid4()}") {{ text }} }}',
    f'{{ callRecording(callId: "{uuid4()}") {{ url }} }}',
    "{ apiTokens { id } }",
    "mutation { signOut }",
    f'mutation {{ revokeApiToken(id: "{uuid4()}") {{ id }} }}',
    f'mutation {{ cancelCall(id: "{uuid4()}") {{ __typename }} }}',
    f'mutation {{ initiateCall(input: {{leadId: "{uuid4()}", callType: FOLLOW_UP}}) {{ __typename }} }}',
)
MISTAKES: tuple[tuple[str, dict[str, object]], ...] = (
    ("{ nothing }", {}),
    ('{ call(id: "not-an-id") { id } }', {}),
    ("query($id: UUID!) { call(id: $id) { id } }", {"id": "not-an-id"}),
    ("query($id: UUID!) { call(id: $id) { id } }", {}),
    ("query($id: UUID!) { call(id: $id) { id } }", {"id": {"a": 1}}),
    ("query($days: Int!) { callStats(days: $days) { totalCalls } }", {"days": 10**12}),
    ("query($f: AdminCallFilter) { adminCalls(filter: $f) { edges { cursor } } }", {"f": {"from": "yesterday"}}),
    ("query($f: AdminCallFilter) { adminCalls(filter: $f) { edges { cursor } } }", {"f": {"status": "queued"}}),
)


async def test_without_a_token(anyone: Client) -> None:
    for document in PROTECTED:
        error = await anyone.error(document)
        assert error["code"] == "UNAUTHENTICATED", document
        assert "signIn" in error["remedy"]


async def test_a_domain_error_carries_field_rule_and_remedy(callers: Callers) -> None:
    error = await (await callers.admin()).error("query($id: UUID!) { call(id: $id) { id } }", id=str(uuid4()))
    assert error["code"] == "CALL_NOT_FOUND"
    assert error["field"] == "id"
    assert error["rule"] == "call_not_found"
    assert error["remedy"]


async def test_the_clients_own_mistakes(callers: Callers) -> None:
    admin = await callers.admin()
    for document, variables in MISTAKES:
        assert (await admin.error(document, **variables))["code"] == "GRAPHQL_VALIDATION_FAILED", document


async def test_cursors_that_are_not_ours(callers: Callers) -> None:
    admin = await callers.admin()
    for after in ["", "x", "é", "AAAA", "A" * 33, "_" * 32]:
        error = await admin.error("query($after: String) { leads(after: $after) { edges { cursor } } }", after=after)
        assert (error["code"], error["field"]) == ("INVALID_INPUT", "after"), after


async def test_a_time_without_a_zone(callers: Callers) -> None:
    admin = await callers.admin()
    asked = "query($f: AdminCallFilter) { adminCalls(filter: $f) { edges { cursor } } }"
    for name in ("from", "to"):
        error = await admin.error(asked, f={name: "2026-01-01T00:00:00"})
        assert (error["code"], error["field"]) == ("INVALID_TIME", f"filter.{name}")


async def test_a_fault_is_an_id_to_the_client_and_a_place_in_the_log(
    callers: Callers, world: World, state: AppState, clock: SettableClock
) -> None:
    lead: Lead = await world.lead()
    call = await finished_call(world, lead, clock.now())
    admin = await callers.admin()
    assert state.settings.database_url is not None
    with psycopg.connect(state.settings.database_url, autocommit=True) as owner:
        owner.execute("DROP TABLE call_summaries")
    asked = "query($id: UUID!) { call(id: $id) { status summary { summary } } }"
    with capture_logs() as logs:
        answer = await admin.run(asked, id=str(call.id))
        async with admin.socket() as socket:
            await socket.start(asked, id=str(call.id))
            (over_socket,) = await socket.rest()
    for told in (answer, over_socket):
        assert told["data"]["call"] == {"status": "COMPLETED", "summary": None}
        (error,) = told["errors"]
        assert error["message"] == "Something went wrong on our side."
        assert error["extensions"].keys() == {"code", "id"}
        assert error["extensions"]["code"] == "INTERNAL"
    noted = [log for log in logs if log["event"] == "graphql.internal_error"]
    assert [log["error_id"] for log in noted] == [
        answer["errors"][0]["extensions"]["id"],
        over_socket["errors"][0]["extensions"]["id"],
    ]
    assert noted[0]["error"] == "ProgrammingError"
    assert noted[0]["where"]
    assert str(call.id) not in str(noted)
