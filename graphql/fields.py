"""Strawberry's decorators with a description, typed: the originals give back Any, which mypy's strict mode refuses."""

from collections.abc import Callable
from typing import TypeAlias

import strawberry
from strawberry.types.field import StrawberryField

_Decorator: TypeAlias = Callable[[Callable[..., object]], StrawberryField]


def field(description: str) -> _Decorator:
    """A field of a query, a mutation or a type."""
    decorator: _Decorator = strawberry.field(description=description)
    return decorator


def subscription(description: str) -> _Decorator:
    """A field of the subscription."""
    decorator: _Decorator = strawberry.subscription(description=description)
    return decorator
