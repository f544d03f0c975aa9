"""One call's dealings with the domain: what the core wants stored or asked, and the answers back to it."""

import asyncio
from collections.abc import Callable, Coroutine

import structlog

from callwright.app.calls.conversation import CallBrief, CallDesk, CallReport
from callwright.bridge import actions as act
from callwright.bridge import events as ev
from callwright.bridge.errands import Errand, Errands, persist
from callwright.bridge.metrics import Metrics
from callwright.bridge.settings import BridgeSettings

_CLAIM_SECONDS = 3.0  # a greeting leaves this much time; without a claim no message may be left
_HANG_UP_TRIES = 3


class Liaison:
    """Turns and events go in order through a queue; what cannot wait (opt-out, hang-up, questions) runs beside it."""

    def __init__(
        self,
        desk: CallDesk,
        brief: CallBrief,
        call_sid: str,
        *,
        settings: BridgeSettings,
        metrics: Metrics,
        tell: Callable[[ev.Event], None],
        log: structlog.stdlib.BoundLogger,
    ) -> None:
        self._desk = desk
        self._brief = brief
        self._call_sid = call_sid
        self._settings = settings
        self._tell = tell
        self._log = log
        self._errands = Errands(log, metrics)
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def waiting(self) -> int:
        """Turns and events that are still to be stored."""
        return self._errands.waiting

    def carry_out(self, action: act.Action) -> None:
        desk, brief = self._desk, self._brief
        match action:
            case act.PublishTurn(turn):
                self._errands.post("turn", lambda: desk.turn(brief, turn))
            case act.PublishEvent(kind, at_ms, data):
                self._errands.post("event", lambda: desk.event(brief, kind, at_ms, data))
            case act.OptOut(words):
                self._at_once("opt_out", lambda: desk.opt_out(brief, words))
            case act.RequestHuman(reason):
                self._at_once("request_human", lambda: desk.request_human(brief, reason))
            case act.ClaimVoicemail():
                self._spawn(self._claim())
            case act.AskGuidance():
                self._spawn(self._guide(action))
            case act.HangUp():
                self._spawn(self._hang_up())

    async def close(self, report: CallReport) -> None:
        """Waits until all is carried out or given up (bounded by the errands' patience), then reports the call's
        end.
        """
        if self._tasks:
            await asyncio.wait(self._tasks)
        await self._errands.close()
        await persist("finished", lambda: self._desk.finished(self._brief, report), self._log)

    def _at_once(self, name: str, errand: Errand) -> None:
        async def run() -> None:
            await persist(name, errand, self._log)

        self._spawn(run())

    async def _claim(self) -> None:
        try:
            granted = await asyncio.wait_for(self._desk.claim_voicemail(self._brief), _CLAIM_SECONDS)
        except Exception as error:  # unclaimed: another attempt may leave the message, twice must not happen
            self._log.error("voicemail_not_claimed", error=type(error).__name__)
            granted = False
        self._tell(ev.VoicemailClaimed(granted))

    async def _guide(self, ask: act.AskGuidance) -> None:
        try:
            advice = await asyncio.wait_for(
                self._desk.guidance(self._brief, ask.question, ask.transcript), self._settings.guidance_seconds
            )
        except Exception as error:  # the call goes on without
            self._log.warning("guidance_failed", error=type(error).__name__)
            advice = None
        self._tell(ev.GuidanceGiven(ask.call_id, advice))

    async def _hang_up(self) -> None:
        for _ in range(_HANG_UP_TRIES):
            try:
                await asyncio.wait_for(self._desk.hang_up(self._brief, self._call_sid), self._settings.hang_up_seconds)
            except Exception as error:  # closing our socket ends the call as well, a little later
                self._log.warning("hang_up_failed", error=type(error).__name__)
            else:
                return

    def _spawn(self, work: Coroutine[object, object, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
