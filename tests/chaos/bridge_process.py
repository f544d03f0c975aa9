"""A bridge process whose desk is in memory: every token is good once, every call's end is a line on stdout.

Lines are JSON: first `{"port": …}`, then per call its report.
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from uuid import UUID

import orjson
import structlog
import uvloop

from callwright.app.calls.conversation import CallBrief, CallReport, StreamRefused, Turn
from callwright.bridge.main import serve
from callwright.bridge.settings import BridgeSettings
from tests.bridge.bench import BRIEF
from tests.bridge.peers import PUBLIC_URL, TOKEN


class OpenDesk:
    """Lets in whoever has a number for a token; a call's attempt bears that number."""

    def __init__(self) -> None:
        self._used: set[str] = set()
        self._turns: dict[UUID, dict[int, str]] = {}

    async def prepare(self, attempt_id: UUID) -> CallBrief:
        return replace(BRIEF, attempt_id=attempt_id)

    async def open(self, call_sid: str, token: str) -> CallBrief:
        if not token.isdecimal() or token in self._used:
            raise StreamRefused("token_unknown")
        self._used.add(token)
        brief = replace(BRIEF, attempt_id=UUID(int=int(token)))
        self._turns[brief.attempt_id] = {}
        return brief

    async def turn(self, brief: CallBrief, turn: Turn) -> None:
        self._turns[brief.attempt_id][turn.index] = f"{turn.speaker}: {turn.text}"

    async def event(self, brief: CallBrief, kind: str, at_ms: int, data: Mapping[str, object]) -> None: ...

    async def claim_voicemail(self, brief: CallBrief) -> bool:
        return True

    async def opt_out(self, brief: CallBrief, words: str) -> None: ...

    async def request_human(self, brief: CallBrief, reason: str) -> None: ...

    async def guidance(self, brief: CallBrief, question: str, transcript: Sequence[Turn]) -> str | None:
        return None

    async def hang_up(self, brief: CallBrief, call_sid: str) -> None: ...

    async def finished(self, brief: CallBrief, report: CallReport) -> None:
        tell(
            {
                "number": brief.attempt_id.int,
                "reason": report.reason,
                "duration_ms": report.duration_ms,
                "recording_ms": report.recording_ms,
                "recording": str(report.recording),
                "interruptions": report.interruptions,
                "turns": [text for _, text in sorted(self._turns.pop(brief.attempt_id).items())],
            }
        )


def tell(line: Mapping[str, object]) -> None:
    sys.stdout.buffer.write(orjson.dumps(line) + b"\n")
    sys.stdout.buffer.flush()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--model-url", required=True)
    parser.add_argument("--spool", type=Path, required=True)
    arguments = parser.parse_args()
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    settings = BridgeSettings(
        PUBLIC_URL,
        TOKEN,
        "sk-test",
        arguments.spool,
        openai_base_url=arguments.model_url,
        port=0,
        max_calls=1_000,
        stall_seconds=60.0,  # the crowd is faster than life on the whole, each of it may have to wait
        hang_up_seconds=0.5,
    )
    uvloop.run(serve(settings, OpenDesk(), on_ready=lambda port: tell({"port": port})))


if __name__ == "__main__":
    main()
