"""Bearer tokens: personal ones that people make for their programs, and the one a sign-in gives.

A token carries 256 random bits, so a plain SHA-256 at rest cannot be guessed back.
"""

import hashlib
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import ColumnElement, delete, func, or_, select, update
from sqlmodel import col

from callwright.app.accounts.actor import Actor
from callwright.app.accounts.models import ApiToken, User
from callwright.app.audit.record import record
from callwright.app.database.sessions import Database, SystemSession
from callwright.app.errors import CallwrightError, ErrorCode

PREFIX = "cw_"
MOST_TOKENS = 100
LONGEST_NAME = 80
# A token used all the time would otherwise write a row with every request.
_LAST_USED_STEP = timedelta(minutes=1)
_KEPT_AFTER_EXPIRY = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class IssuedToken:
    """A new token. `secret` is shown once and stored nowhere."""

    row: ApiToken
    secret: str


def _is_usable(now: datetime) -> ColumnElement[bool]:
    return col(ApiToken.revoked_at).is_(None) & or_(col(ApiToken.expires_at).is_(None), col(ApiToken.expires_at) > now)


def digest(secret: str) -> str:
    """What is stored of a token."""
    # A WebSocket's JSON may carry half a surrogate pair, which is nobody's token.
    return hashlib.sha256(secret.encode(errors="surrogatepass")).hexdigest()


async def issue(
    session: SystemSession, user_id: UUID, name: str, now: datetime, expires_at: datetime | None
) -> IssuedToken:
    """Adds a token's row; long expired ones of the same person are cleared away."""
    await session.execute(
        delete(ApiToken).where(col(ApiToken.user_id) == user_id, col(ApiToken.expires_at) < now - _KEPT_AFTER_EXPIRY)
    )
    secret = PREFIX + secrets.token_urlsafe(32)
    row = ApiToken(user_id=user_id, name=name, token_hash=digest(secret), created_at=now, expires_at=expires_at)
    session.add(row)
    return IssuedToken(row, secret)


async def create_api_token(
    database: Database, actor: Actor, name: str, now: datetime, expires_at: datetime | None
) -> IssuedToken:
    """A personal token. Raises `CallwrightError` for an empty or long name, a past expiry and one token too many."""
    name = name.strip()
    if not 1 <= len(name) <= LONGEST_NAME:
        raise CallwrightError(
            ErrorCode.INVALID_INPUT,
            f"A token's name has 1 to {LONGEST_NAME} characters.",
            field="name",
            rule="token_name",
            remedy="Name it after the program that will use it.",
        )
    if expires_at is not None and (expires_at.tzinfo is None or expires_at <= now):
        raise CallwrightError(
            ErrorCode.INVALID_TIME,
            "The expiry must be a future time with its UTC offset.",
            field="expiresAt",
            rule="token_expiry",
            remedy="Pass a later time such as 2030-01-31T12:00:00Z, or none for a token that does not expire.",
        )
    async with database.system() as session:
        # The person's row is locked so that two requests cannot both take the last place.
        await session.execute(select(col(User.id)).where(col(User.id) == actor.user_id).with_for_update())
        held = await session.scalar(
            select(func.count()).select_from(ApiToken).where(col(ApiToken.user_id) == actor.user_id, _is_usable(now))
        )
        if (held or 0) >= MOST_TOKENS:
            raise CallwrightError(
                ErrorCode.INVALID_INPUT,
                f"You have {MOST_TOKENS} tokens, the most allowed.",
                rule="token_count",
                remedy="Revoke one that is no longer used.",
            )
        issued = await issue(session, actor.user_id, name, now, expires_at)
        record(session, "token.created", "api_token", issued.row.id, actor_id=actor.user_id)
    return issued


async def revoke_api_token(database: Database, actor: Actor, token_id: UUID, now: datetime) -> ApiToken:
    """Ends one of the actor's own tokens, at once; again is harmless. Raises `CallwrightError` for anyone else's."""
    async with database.system() as session:
        row = await session.scalar(
            select(ApiToken)
            .where(col(ApiToken.id) == token_id, col(ApiToken.user_id) == actor.user_id)
            .with_for_update()
        )
        if row is None:
            raise CallwrightError(
                ErrorCode.INVALID_INPUT,
                "You have no token with this id.",
                field="id",
                rule="token_unknown",
                remedy="List yours with `apiTokens`.",
            )
        if row.revoked_at is None:
            row.revoked_at = now
            record(session, "token.revoked", "api_token", row.id, actor_id=actor.user_id)
    return row


async def revoke_secret(database: Database, secret: str, now: datetime) -> bool:
    """Ends the token itself, as a sign-out does. False when it was not valid any more."""
    async with database.system() as session:
        row = await session.scalar(
            select(ApiToken).where(col(ApiToken.token_hash) == digest(secret), _is_usable(now)).with_for_update()
        )
        if row is None:
            return False
        row.revoked_at = now
        record(session, "token.revoked", "api_token", row.id, actor_id=row.user_id)
    return True


async def authenticate(database: Database, secret: str, now: datetime) -> Actor | None:
    """Who holds this token; None when it is unknown, expired or revoked, or the account is disabled."""
    if not secret.startswith(PREFIX):
        return None
    async with database.system() as session:
        found = (
            await session.execute(
                select(col(ApiToken.id), col(ApiToken.last_used_at), col(User.id), col(User.role))
                .join(User, col(User.id) == col(ApiToken.user_id))
                .where(col(ApiToken.token_hash) == digest(secret), _is_usable(now), col(User.disabled_at).is_(None))
            )
        ).one_or_none()
        if found is None:
            return None
        token_id, last_used_at, user_id, role = found
        if last_used_at is None or last_used_at < now - _LAST_USED_STEP:
            await session.execute(update(ApiToken).where(col(ApiToken.id) == token_id).values(last_used_at=now))
    return Actor(user_id, role)
