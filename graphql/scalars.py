"""Values that cross the schema's edge: money, connections."""

from collections.abc import Callable
from decimal import Decimal
from typing import Generic, TypeVar

import strawberry

from callwright.app.pagination import Page

Node = TypeVar("Node")
Row = TypeVar("Row")


def usd(micros: int) -> Decimal:
    """Micro-dollars as exact US dollars with six decimals."""
    return Decimal(micros).scaleb(-6)


@strawberry.type(description="Where a page begins and ends. Pages run from the newest to the oldest.")
class PageInfo:
    has_next_page: bool
    has_previous_page: bool
    start_cursor: str | None
    end_cursor: str | None


@strawberry.type(description="One row of a page and its place.")
class Edge(Generic[Node]):
    cursor: str
    node: Node


@strawberry.type(description="A page of rows, the newest first; follow `pageInfo.endCursor` for older ones.")
class Connection(Generic[Node]):
    edges: list[Edge[Node]]
    page_info: PageInfo


def connection(page: Page[Row], show: Callable[[Row], Node]) -> Connection[Node]:
    """A page of rows as a connection."""
    edges = [Edge(cursor=cursor.encode(), node=show(row)) for row, cursor in page.rows]
    return Connection(
        edges=edges,
        page_info=PageInfo(
            has_next_page=page.has_next,
            has_previous_page=page.has_previous,
            start_cursor=edges[0].cursor if edges else None,
            end_cursor=edges[-1].cursor if edges else None,
        ),
    )
