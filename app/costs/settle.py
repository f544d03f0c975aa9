"""Brings a call's metered cost, and its business's month, in step with the metered items."""

from datetime import UTC, datetime

from sqlalchemy.dialects.postgresql import insert
from sqlmodel import col

from callwright.app.accounts.models import Usage
from callwright.app.calls.models import Call
from callwright.app.costs.metering import metered_micros
from callwright.app.database.sessions import SystemSession
from callwright.app.identifiers import new_id


async def settle_metered_cost(session: SystemSession, call: Call, now: datetime) -> None:
    """Sets the call's metered cost to the sum of its items; the month it ended in takes the difference.

    The call must be locked. May be repeated: only what came in since the last time counts.
    """
    total = await metered_micros(session, call.id)
    difference = total - (call.metered_cost_micros or 0)
    call.metered_cost_micros = total
    if difference == 0:
        return
    month = (call.ended_at or now).astimezone(UTC).strftime("%Y-%m")
    row = insert(Usage).values(
        id=new_id(), business_id=call.business_id, month=month, calls=0, seconds=0, cost_micros=difference
    )
    await session.execute(
        row.on_conflict_do_update(
            index_elements=["business_id", "month"], set_={"cost_micros": col(Usage.cost_micros) + difference}
        )
    )
