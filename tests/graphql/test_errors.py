"""What a client learns of an error, and what the log does."""

import json
from uuid import uuid4

import psycopg
import pytest
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


async def test_what_is_not_found_names_the_argument_it_was_asked_by(callers: Callers) -> None:
    admin = await callers.admin()
    for name, code, argument in (
        ("callsByLead", "LEAD_NOT_FOUND", "leadId"),
        ("lead", "LEAD_NOT_FOUND", "id"),
        ("callTranscript", "CALL_NOT_FOUND", "callId"),
        ("callRecording", "CALL_NOT_FOUND", "callId"),
    ):
        error = await admin.error(f'{{ {name}({argument}: "{uuid4()}") {{ __typename }} }}')
        assert (error["code"], error["field"]) == (code, argument), name
    async with admin.socket() as socket:
        for name in ("callStatus", "callTranscript"):
            await socket.start(f'subscription {{ {name}(callId: "{uuid4()}") {{ id }} }}')
            (answer,) = await socket.rest()
            extensions = answer["errors"][0]["extensions"]
            assert (extensions["code"], extensions["field"]) == ("CALL_NOT_FOUND", "callId"), name


@pytest.mark.parametrize("text", ["nul \0", "half \ud83d", "\udfff other half"])
async def test_a_text_that_cannot_be_stored_is_the_clients_mistake(callers: Callers, text: str) -> None:
    admin = await callers.admin()
    token = "mutation($name: String!) { createApiToken(name: $name) { token } }"
    sign_in = 'mutation($word: String!) { signIn(email: "a@example.com", password: $word) { token } }'
    call = "mutation($input: InitiateCallInput!) { initiateCall(input: $input) { __typename } }"
    wanted = {"leadId": str(uuid4()), "callType": "FOLLOW_UP", "objective": text}
    asked: tuple[tuple[str, dict[str, object], str], ...] = (
        (token, {"name": text}, "name"),
        (sign_in, {"word": text}, "word"),
        (call, {"input": wanted}, "input.objective"),
        ("query($after: String) { leads(after: $after) { edges { cursor } } }", {"after": text}, "after"),
        (token, {"name": "x", "other": [{"a": text}]}, "other.a"),
    )
    async with admin.socket() as socket:
        for document, variables, field in asked:
            error = await admin.error(document, **variables)
            assert (error["code"], error["field"]) == ("INVALID_INPUT", field)
            assert error["remedy"]
            await socket.start(document, **variables)
            message = await socket.message()
            assert message["type"] == "error"
            extensions = message["payload"][0]["extensions"]
            assert (extensions["code"], extensions["field"]) == ("INVALID_INPUT", field)


async def test_a_literal_that_cannot_be_stored_is_the_clients_mistake(callers: Callers) -> None:
    admin = await callers.admin()
    asked = (
        ('mutation { createApiToken(name: "\\u0000") { token } }', "name"),
        ('mutation { createApiToken(name: "\0") { token } }', "name"),
        ('mutation { createApiToken(name: """\0""") { token } }', "name"),
        ('mutation($name: String = "\\u0000") { createApiToken(name: $name) { token } }', "name"),
        (
            f'mutation {{ initiateCall(input: {{leadId: "{uuid4()}", callType: FOLLOW_UP, objective: "\\u0000"}}) '
            "{ __typename } }",
            "input.objective",
        ),
    )
    async with admin.socket() as socket:
        for document, field in asked:
            error = await admin.error(document)
            assert (error["code"], error["field"]) == ("INVALID_INPUT", field), document
            await socket.start(document)
            extensions = (await socket.message())["payload"][0]["extensions"]
            assert (extensions["code"], extensions["field"]) == ("INVALID_INPUT", field), document
    half = 'mutation { createApiToken(name: "\\ud83d") { token } }'
    assert (await admin.error(half))["code"] == "GRAPHQL_PARSE_FAILED"


async def test_whole_surrogate_pairs_and_every_other_character_pass(callers: Callers) -> None:
    admin = await callers.admin()
    document = "mutation($name: String!) { createApiToken(name: $name) { apiToken { name } } }"
    made = await admin.data(document, name="\U0001f600 é \x01")
    assert made["createApiToken"]["apiToken"]["name"] == "\U0001f600 é \x01"


async def test_names_and_tokens_that_cannot_be_written_are_no_fault_of_ours(callers: Callers) -> None:
    admin = await callers.admin()
    for variables in ({"half \ud83d": "x"}, {"half \ud83d": "\0"}):
        answer = await admin.run("{ me { role } }", **variables)
        assert all(error["extensions"]["code"] != "INTERNAL" for error in answer.get("errors", ()))
    call = "mutation($input: InitiateCallInput!) { initiateCall(input: $input) { __typename } }"
    wanted = {"leadId": str(uuid4()), "callType": "FOLLOW_UP"}
    assert (await admin.error(call, input={**wanted, "half \ud83d": 1}))["code"] == "GRAPHQL_VALIDATION_FAILED"
    body = {"query": "query A { me { role } }", "operationName": "half \ud83d"}
    response = await admin.http.post(admin.url, content=json.dumps(body), headers={"Content-Type": "application/json"})
    assert response.status_code == 400
    assert response.json()["errors"][0]["extensions"]["code"] == "BAD_REQUEST"
    async with callers.anyone.socket({"authorization": "Bearer cw_\ud83d\0"}) as socket:
        await socket.start("{ me { role } }")
        (answer,) = await socket.rest()
        assert answer["errors"][0]["extensions"]["code"] == "UNAUTHENTICATED"


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
