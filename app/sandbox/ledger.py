"""What the stand-ins were asked, and the faults they are told to show.

`GET /sandbox/ledger` tells everything, `POST /sandbox/faults` scripts a fault, `DELETE /sandbox/faults` forgets all.
No secrets are kept: callers of `record` pass facts, never headers.
"""

from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from types import MappingProxyType

from aiohttp import web

FAULTS: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        "anthropic": frozenset({"status", "hang", "cut_json", "refusal"}),
        "realtime": frozenset({"status", "drop", "stall"}),
        "twilio": frozenset({"status", "hang", "drop"}),
    }
)
_KEPT = 10_000

Fact = str | int | float | bool | None


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing a stand-in was asked; `number` counts up over all services."""

    number: int
    service: str
    kind: str
    facts: Mapping[str, Fact]


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault to show `times` times.

    `status` is the HTTP status of a "status" fault; `after_ms` is how much audio a call must have had before a "drop"
    or "stall" strikes.
    """

    service: str
    fault: str
    status: int = 500
    times: int = 1
    after_ms: int = 0


class InvalidFault(ValueError):
    """A scripted fault that no stand-in can show; the message names the field and what is allowed."""


class Ledger:
    """Counts every request and event by service and kind, and keeps the newest 10,000 with their facts."""

    def __init__(self) -> None:
        self._entries: deque[Entry] = deque(maxlen=_KEPT)
        self._counts: Counter[tuple[str, str]] = Counter()
        self._faults: list[Fault] = []
        self._number = 0

    def record(self, service: str, kind: str, **facts: Fact) -> None:
        """Keeps what was asked, with facts that are neither secret nor bulky."""
        self._number += 1
        self._counts[service, kind] += 1
        self._entries.append(Entry(self._number, service, kind, facts))

    def count(self, service: str, kind: str) -> None:
        """Only counts: for events of which there are fifty a second."""
        self._counts[service, kind] += 1

    def entries(self, service: str, kind: str | None = None) -> list[Entry]:
        """The kept entries, oldest first; of one kind if given."""
        return [entry for entry in self._entries if entry.service == service and kind in (None, entry.kind)]

    def script(self, fault: Fault) -> None:
        """Queues a fault; raises `InvalidFault`."""
        if fault.service not in FAULTS:
            raise InvalidFault(f"service: {fault.service!r} is none of {', '.join(sorted(FAULTS))}")
        if fault.fault not in FAULTS[fault.service]:
            allowed = ", ".join(sorted(FAULTS[fault.service]))
            raise InvalidFault(f"fault: {fault.service} can show {allowed}, not {fault.fault!r}")
        if not 400 <= fault.status <= 599:
            raise InvalidFault(f"status: {fault.status} is no HTTP error; give 400 to 599")
        if fault.times < 1 or fault.after_ms < 0:
            raise InvalidFault("times must be at least 1 and after_ms at least 0")
        self._faults.append(fault)

    def take_fault(self, service: str, *faults: str, at_ms: int = 0) -> Fault | None:
        """The oldest scripted fault of the service that is due, used up once; only of the kinds given, if any are."""
        for index, fault in enumerate(self._faults):
            if fault.service == service and (not faults or fault.fault in faults) and at_ms >= fault.after_ms:
                if fault.times > 1:
                    left = asdict(fault) | {"times": fault.times - 1}
                    self._faults[index] = Fault(**left)
                else:
                    del self._faults[index]
                self.record(service, "fault", fault=fault.fault)
                return fault
        return None

    def routes(self) -> list[web.RouteDef]:
        """`/sandbox/ledger` and `/sandbox/faults`."""
        return [
            web.get("/sandbox/ledger", self._show),
            web.post("/sandbox/faults", self._take_script),
            web.delete("/sandbox/faults", self._forget_script),
        ]

    async def _show(self, request: web.Request) -> web.Response:
        service, kind = request.query.get("service"), request.query.get("kind")
        counts: dict[str, dict[str, int]] = {}
        for (counted_service, counted_kind), number in sorted(self._counts.items()):
            counts.setdefault(counted_service, {})[counted_kind] = number
        entries = [
            asdict(entry) for entry in self._entries if service in (None, entry.service) and kind in (None, entry.kind)
        ]
        return web.json_response(
            {"counts": counts, "entries": entries, "faults": [asdict(fault) for fault in self._faults]}
        )

    async def _take_script(self, request: web.Request) -> web.Response:
        try:
            body = await request.json()
            fault = Fault(**body)
            self.script(fault)
        except InvalidFault as error:
            return web.json_response({"error": str(error)}, status=400)
        except (TypeError, ValueError):
            fields = "service, fault, status?, times?, after_ms?"
            return web.json_response({"error": f"expected a JSON object with the fields {fields}"}, status=400)
        return web.json_response(asdict(fault), status=201)

    async def _forget_script(self, request: web.Request) -> web.Response:
        self._faults.clear()
        return web.Response(status=204)
