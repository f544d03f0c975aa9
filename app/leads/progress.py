"""Where a call's outcome takes its lead."""

from callwright.app.calls.lifecycle import CallOutcome, CallType
from callwright.app.leads.models import LeadStatus

_REACHED = {
    CallType.QUALIFY_LEAD: LeadStatus.QUALIFIED,
    CallType.CONFIRM_APPOINTMENT: LeadStatus.APPOINTMENT_CONFIRMED,
    CallType.FOLLOW_UP: LeadStatus.COMPLETED,
    CallType.CONSUMER_CALLBACK: LeadStatus.CONTACTED,
}
_TALKED = frozenset(
    {CallOutcome.FOLLOW_UP_LATER, CallOutcome.HUMAN_REQUESTED, CallOutcome.HUNG_UP, CallOutcome.INCOMPLETE}
)
# The way of a sale; a call may take a lead forward on it, never back.
_WAY = (
    LeadStatus.NEW,
    LeadStatus.CONTACTED,
    LeadStatus.QUALIFIED,
    LeadStatus.APPOINTMENT_CONFIRMED,
    LeadStatus.COMPLETED,
)


def lead_status_after(current: LeadStatus, call_type: CallType, outcome: CallOutcome) -> LeadStatus:
    """The lead's status once a call of `call_type` came to `outcome`.

    A no to a follow-up leaves finished work finished; everything else that says no, or stop, declines the lead.
    """
    if outcome is CallOutcome.DO_NOT_CALL:
        return LeadStatus.DECLINED
    if outcome is CallOutcome.DECLINED:
        return current if call_type is CallType.FOLLOW_UP else LeadStatus.DECLINED
    if outcome is CallOutcome.WRONG_NUMBER:
        return LeadStatus.UNREACHABLE if current in (LeadStatus.NEW, LeadStatus.CONTACTED) else current
    if outcome is CallOutcome.GOAL_ACHIEVED:
        return _further(current, _REACHED[call_type])
    return _further(current, LeadStatus.CONTACTED) if outcome in _TALKED else current


def _further(current: LeadStatus, wanted: LeadStatus) -> LeadStatus:
    """Who talks to us again after declining or being out of reach starts over at what was reached now."""
    if current not in _WAY:
        return wanted
    return max(current, wanted, key=_WAY.index)
