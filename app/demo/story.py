"""How a call reads in a terminal: its steps and words as they happen, then what came of it."""

from decimal import Decimal

from rich.console import Console
from rich.markup import escape
from rich.panel import Panel
from rich.table import Table

from callwright.app.costs.metering import display_usd
from callwright.app.demo.client import JsonObject


class Story:
    """Prints a call while it happens; a repeated status is told once."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._told: tuple[object, object] | None = None

    def status(self, call: JsonObject) -> None:
        news = (call["status"], call["waitingReason"])
        if news == self._told:
            return
        self._told = news
        reason = f" — {escape(call['waitingReason'])}" if call["waitingReason"] else ""
        self._console.print(f"[dim]● {readable(call['status'])}{reason}[/dim]", highlight=False)

    def turn(self, turn: JsonObject) -> None:
        agent = turn["speaker"] == "AGENT"
        name = "[cyan]  agent[/cyan]" if agent else "[green] person[/green]"
        cut = " [yellow](interrupted)[/yellow]" if turn["interrupted"] else ""
        self._console.print(f"[dim]{clock(turn['startMs'])}[/dim] {name}  {escape(turn['text'])}{cut}", highlight=False)


def print_result(console: Console, result: JsonObject) -> None:
    """Outcome, summary, cost and the recording's path."""
    summary = result["summary"]
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    table.add_row("status", readable(result["status"]))
    table.add_row("outcome", readable(result["outcome"]))
    if summary is not None:
        table.add_row("interest", readable(summary["interestLevel"]))
        table.add_row("summary", escape(summary["summary"]))
        table.add_row("key points", "\n".join(f"• {escape(point)}" for point in summary["keyPoints"]))
        table.add_row("next action", escape(summary["nextAction"]))
        table.add_row("written by", readable(summary["source"]))
    if result["costs"] is not None:
        costs = result["costs"]
        table.add_row("cost", f"{shown(costs['meteredUsd'])} USD metered, {shown(costs['estimatedUsd'])} USD estimated")
    if result["recording"] is not None:
        recording = result["recording"]
        table.add_row("recording", f"{recording['path']} ({recording['seconds']} s, caller left, agent right)")
    if "nextCall" in result:
        table.add_row("asked again", escape(f"{result['nextCall'].get('code')}: {result['nextCall'].get('reason')}"))
    console.print(Panel(table, title=f"call {result['callId']}", title_align="left"), highlight=False)


def shown(usd: str | None) -> str:
    """An exact amount in dollars as people see it: `0.972000` is `0.97`."""
    return "?" if usd is None else display_usd(int(Decimal(usd) * 1_000_000))


def readable(value: str | None) -> str:
    """`NO_ANSWER` as people write it."""
    return (value or "none yet").lower().replace("_", " ")


def clock(milliseconds: int) -> str:
    """Minutes and seconds into the call."""
    return f"{milliseconds // 60_000:02d}:{milliseconds // 1000 % 60:02d}"
