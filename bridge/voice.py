"""The agent's mouth: at most one response of the model at a time, and nothing from a response that was cut off."""

from dataclasses import dataclass

from callwright.bridge.actions import Action, CancelResponse, CreateResponse, Purpose


@dataclass(frozen=True, slots=True)
class Wish:
    """Something the agent should say. `words` None: the model decides."""

    purpose: Purpose
    words: str | None = None


@dataclass(slots=True)
class Response:
    response_id: str
    wish: Wish
    dead: bool = False
    spoke: bool = False  # its audio reached the phone


class Voice:
    """A later wish replaces an earlier one that was not begun. Emits into `out`."""

    def __init__(self, out: list[Action]) -> None:
        self._out = out
        self.is_ready = False
        self._wish: Wish | None = None
        self._asked: tuple[str, Wish] | None = None  # our event id; sent, not yet created
        self._asked_dead = False
        self._open_tools: set[str] = set()
        self._asks = 0
        self.current: Response | None = None

    @property
    def busy(self) -> bool:
        """Whether something the person should hear is being prepared or received (not: whether it is still playing)."""
        alive = self.current is not None and not self.current.dead
        return alive or self._wish is not None or (self._asked is not None and not self._asked_dead)

    @property
    def waiting_for_model(self) -> bool:
        return self._asked is not None or self.current is not None

    def ready(self) -> None:
        self.is_ready = True
        self._pump()

    def say(self, purpose: Purpose, words: str | None = None) -> None:
        """Speaks as soon as the model is free."""
        self._wish = Wish(purpose, words)
        self._pump()

    def withdraw(self) -> None:
        """Drops what is wished but not yet asked for."""
        self._wish = None

    def hush(self) -> None:
        """Drops what is wished, asked for or being received."""
        self._wish = None
        if self._asked is not None:
            self._asked_dead = True
        if self.current is not None and not self.current.dead:
            self.current.dead = True
            self._out.append(CancelResponse(self.current.response_id))

    @property
    def wishes(self) -> bool:
        """Whether something waits to be asked for."""
        return self._wish is not None

    def lost(self) -> Response | None:
        """The model is gone. What was asked for and not begun is wished again, and so is the answer to a tool; returns
        the response that broke off, if the person was meant to hear it.
        """
        broken = self.current if self.current is not None and not self.current.dead else None
        if self._wish is None and self._asked is not None and not self._asked_dead:
            self._wish = self._asked[1]
        if self._wish is None and self._open_tools:
            self._wish = Wish(Purpose.REPLY)
        self.is_ready = self._asked_dead = False
        self.current = self._asked = None
        self._open_tools.clear()
        return broken

    def withdraw_reply(self) -> None:
        """Drops a wish to reply: another will come with the person's words."""
        if self._wish is not None and self._wish.purpose is Purpose.REPLY:
            self._wish = None

    def awaits_tool(self, call_id: str) -> bool:
        return call_id in self._open_tools

    def created(self, response_id: str, *, unasked: bool) -> bool:
        """A response begins. The session is told not to respond by itself; what a server says all the same, while none
        of ours is under way, is taken for a reply if `unasked` may be heard. True for such a one.
        """
        if self._asked is None:
            taken = unasked and self.is_ready and self.current is None
            if taken:
                self.current = Response(response_id, Wish(Purpose.REPLY))
            return taken
        (_, wish), dead = self._asked, self._asked_dead
        self._asked, self._asked_dead = None, False
        self.current = Response(response_id, wish, dead)
        if dead:
            self._out.append(CancelResponse(response_id))
        return False

    def living(self, response_id: str) -> Response | None:
        """The response if it is the current one and not cut off; what belongs to any other must be dropped."""
        current = self.current
        return current if current is not None and current.response_id == response_id and not current.dead else None

    def done(self, response_id: str) -> Response | None:
        """The response is over; a waiting wish goes out."""
        current = self.current
        if current is not None and current.response_id == response_id:
            self.current = None
        else:
            current = None
        self._pump()
        return current

    def refused(self, event_id: str, *, occupied: bool) -> bool:
        """The model rejected our request; true if it was still wanted. `occupied`: another response runs, we ask
        again when it is done.
        """
        if self._asked is None or self._asked[0] != event_id:
            return False
        wish = None if self._asked_dead else self._asked[1]
        self._asked, self._asked_dead = None, False
        self._wish = self._wish or wish
        if not occupied:
            self._pump()
        return wish is not None

    def tool_opened(self, call_id: str) -> None:
        """No new response until the tool is answered: the model needs its output."""
        self._open_tools.add(call_id)

    def tool_answered(self, call_id: str) -> None:
        self._open_tools.discard(call_id)
        self._pump()

    def _pump(self) -> None:
        if self._wish is None or not self.is_ready or self.waiting_for_model or self._open_tools:
            return
        self._asks += 1
        event_id = f"say-{self._asks}"
        self._asked, self._wish = (event_id, self._wish), None
        self._out.append(CreateResponse(event_id, self._asked[1].purpose, self._asked[1].words))
