"""Whatever order events come in: the promises that hold for every call."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from callwright.app.calls.conversation import VoiceUsage
from callwright.app.compliance.optout import is_opt_out
from callwright.bridge import actions as act
from callwright.bridge import events as ev
from callwright.bridge.core import Conversation
from tests.bridge.bench import BRIEF, SILENCE, SPARE, SPEECH

WORDS = [
    "Hello?",
    "stop calling me",
    "please leave a message after the tone",
    "say your name and why you are calling",
    "",
]
TOOLS = ["end_call", "opt_out", "request_human", "get_guidance", "nonsense"]
ITEMS = st.sampled_from(["a", "b", "c"])
PERSON = st.sampled_from(["p", "q", "r"])


class Orders(RuleBasedStateMachine):
    """The model and the phone do what they please; only ids that were never made up are excluded."""

    def __init__(self) -> None:
        super().__init__()
        self.conversation = Conversation(BRIEF, is_opt_out, SPARE)
        self.at_ms = 0
        self.actions: list[act.Action] = []
        self.received: dict[str, int] = {}
        self.marks = ["0:1", "junk"]
        self.responses = ["never-made"]
        self.cancelled: set[str] = set()
        self.lost: set[str] = set()  # responses of sessions that are gone
        self.session = True  # the shell has one, ready or not
        self.tool_ids = 0
        self.take(self.conversation.begin())

    def tell(self, event: ev.Event) -> None:
        self.take(self.conversation.handle(event, self.at_ms))

    def take(self, new: object) -> None:
        assert isinstance(new, tuple)
        for action in new:
            assert not any(isinstance(old, act.Finish) for old in self.actions), "something followed the finish"
            self.actions.append(action)
            self.session |= isinstance(action, act.OpenModel)
            self.check(action)

    def check(self, action: act.Action) -> None:
        if isinstance(action, act.TruncateItem):
            assert 0 <= action.audio_end_ms <= self.received[action.item_id] // 8
            assert action.item_id.partition("/")[0] not in self.lost, "truncated what the new session never said"
        elif isinstance(action, act.CancelResponse):
            assert action.response_id not in self.lost, "cancelled what the new session never began"
            assert action.response_id not in self.cancelled, "cancelled twice"
            self.cancelled.add(action.response_id)
        elif isinstance(action, act.Play):
            assert action.response_id not in self.cancelled | self.lost, "audio of a dead response"
            self.marks += [action.mark] if action.lead is None else [action.lead, action.mark]

    @rule(frames=st.integers(1, 80), loud=st.booleans())
    def line(self, frames: int, loud: bool) -> None:
        for _ in range(frames):
            start = self.at_ms
            self.at_ms += 20
            self.tell(ev.PhoneAudio(start, "", SPEECH if loud else SILENCE))

    @rule(number=st.integers(0, 200))
    def mark(self, number: int) -> None:
        self.tell(ev.MarkReached(self.marks[-1 - number % len(self.marks)]))

    @precondition(lambda self: self.session)
    @rule()
    def ready(self) -> None:
        self.tell(ev.ModelReady())

    @rule(item=PERSON)
    def speech_started(self, item: str) -> None:
        self.tell(ev.SpeechStarted(item))

    @rule(item=PERSON)
    def speech_stopped(self, item: str) -> None:
        self.tell(ev.SpeechStopped(item))

    @rule(item=PERSON)
    def committed(self, item: str) -> None:
        self.tell(ev.SpeechCommitted(item))

    @rule(item=PERSON, text=st.sampled_from(WORDS))
    def transcribed(self, item: str, text: str) -> None:
        self.tell(ev.Transcribed(item, text, VoiceUsage()))

    @precondition(lambda self: self.session)
    @rule()
    def created(self) -> None:
        self.responses.append(f"resp-{len(self.responses)}")
        self.tell(ev.ResponseCreated(self.responses[-1]))

    @rule(back=st.integers(0, 2), item=ITEMS, ms=st.integers(1, 800))
    def delta(self, back: int, item: str, ms: int) -> None:
        response = self.responses[-1 - back % len(self.responses)]
        name = f"{response}/{item}"
        self.received[name] = self.received.get(name, 0) + ms * 8
        self.tell(ev.AudioDelta(response, name, "", b"\x20" * (ms * 8)))

    @rule(back=st.integers(0, 2), item=ITEMS, text=st.text(max_size=30))
    def words(self, back: int, item: str, text: str) -> None:
        response = self.responses[-1 - back % len(self.responses)]
        self.tell(ev.TranscriptDone(response, f"{response}/{item}", text))

    @rule(back=st.integers(0, 2), status=st.sampled_from(["completed", "cancelled", "failed", "incomplete"]))
    def response_done(self, back: int, status: str) -> None:
        self.tell(ev.ResponseDone(self.responses[-1 - back % len(self.responses)], status, VoiceUsage()))

    @rule(
        back=st.integers(0, 2),
        name=st.sampled_from(TOOLS),
        arguments=st.sampled_from(["{}", '{"reason":"declined"}', "[1", '{"reason":"do_not_call"}', "3"]),
        again=st.booleans(),
    )
    def tool(self, back: int, name: str, arguments: str, again: bool) -> None:
        self.tool_ids += not again
        response = self.responses[-1 - back % len(self.responses)]
        self.tell(ev.ToolCalled(response, f"call-{self.tool_ids}", name, arguments))

    @rule(advice=st.none() | st.just("Say yes."))
    def guided(self, advice: str | None) -> None:
        self.tell(ev.GuidanceGiven(f"call-{self.tool_ids}", advice))

    @precondition(lambda self: self.count(act.ClaimVoicemail))
    @rule(granted=st.booleans())
    def claimed(self, granted: bool) -> None:
        self.tell(ev.VoicemailClaimed(granted))

    @rule(digit=st.sampled_from("059#"))
    def digit(self, digit: str) -> None:
        self.tell(ev.DigitPressed(digit))

    @rule(code=st.sampled_from(["conversation_already_has_active_response", "response_cancel_not_active", "other"]))
    def error(self, code: str) -> None:
        asked = [action.event_id for action in self.actions if isinstance(action, act.CreateResponse)]
        self.tell(ev.ModelError(code, asked[-1] if asked else None))

    @precondition(lambda self: self.at_ms > 20_000)
    @rule(event=st.sampled_from([ev.PhoneGone(True), ev.PhoneGone(False), ev.ShuttingDown()]))
    def something_goes(self, event: ev.Event) -> None:
        self.tell(event)

    @precondition(lambda self: self.session)
    @rule(why=st.sampled_from([ev.ModelLost("disconnected"), ev.ModelError("session_expired", None)]))
    def model_goes(self, why: ev.Event) -> None:
        self.session = False
        self.lost |= set(self.responses)
        self.tell(why)

    @rule(on=st.booleans())
    def recording(self, on: bool) -> None:
        self.tell(ev.RecordingWanted(on))

    @rule()
    def hearing_over(self) -> None:
        self.tell(ev.HearingOver())

    def count(self, kind: type[act.Action]) -> int:
        return sum(isinstance(action, kind) for action in self.actions)

    @invariant()
    def once_is_enough(self) -> None:
        for kind in (act.HangUp, act.Finish, act.ClaimVoicemail, act.OptOut, act.RequestHuman, act.HearOut):
            assert self.count(kind) <= 1, kind

    @invariant()
    def sessions_are_bounded_and_know_what_was_heard(self) -> None:
        assert self.count(act.OpenModel) <= 3
        for number, action in enumerate(self.actions):
            if isinstance(action, act.OpenModel):
                before = [a.turn.index for a in self.actions[:number] if isinstance(a, act.PublishTurn)]
                assert set(before) <= {turn.index for turn in action.turns}
                assert 0 <= action.from_ms <= self.at_ms

    @invariant()
    def recording_only_changes(self) -> None:
        changes = [action.on for action in self.actions if isinstance(action, act.SetRecording)]
        assert all(one is not other for one, other in zip([BRIEF.record, *changes], changes, strict=False))

    @invariant()
    def no_message_without_a_claim(self) -> None:
        asked = [action.purpose for action in self.actions if isinstance(action, act.CreateResponse)]
        if act.Purpose.VOICEMAIL in asked:
            assert self.count(act.ClaimVoicemail) == 1

    @invariant()
    def turns_are_settled_once_and_in_bounds(self) -> None:
        turns = [action.turn for action in self.actions if isinstance(action, act.PublishTurn)]
        assert len({turn.index for turn in turns}) == len(turns)
        assert all(0 <= turn.start_ms <= turn.end_ms and turn.text for turn in turns)

    def teardown(self) -> None:
        """However it went, the phone's end is always the end, and the maximum always hangs up."""
        while self.at_ms < BRIEF.max_seconds * 1_000:
            self.at_ms += 20_000
            self.tell(ev.PhoneAudio(self.at_ms, "", SILENCE))
        finished = self.count(act.Finish)
        assert finished or self.count(act.HangUp) == 1 or self.count(act.HearOut) == 1
        self.tell(ev.PhoneGone(stopped=True))
        self.tell(ev.HearingOver())
        assert self.count(act.Finish) == 1


TestOrders = Orders.TestCase
TestOrders.settings = settings(max_examples=60, stateful_step_count=60, deadline=None)
