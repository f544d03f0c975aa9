"""Sign-in by e-mail and password, throttled by e-mail and address before a password is even looked at."""

import hashlib
from dataclasses import dataclass
from datetime import datetime, timedelta

from redis.asyncio import Redis
from sqlalchemy import func, select
from sqlmodel import col

from callwright.app.accounts.models import User
from callwright.app.accounts.passwords import hash_password, is_outdated, verify_password
from callwright.app.accounts.tokens import IssuedToken, issue
from callwright.app.audit.record import record
from callwright.app.database.sessions import Database
from callwright.app.errors import CallwrightError, ErrorCode

SESSION = timedelta(hours=12)
SESSION_NAME = "Sign-in"
WINDOW_SECONDS = 900
# One person's typing mistakes, and a whole office behind one address.
TRIES_PER_PERSON = 5
TRIES_PER_ADDRESS = 100


@dataclass(frozen=True, slots=True)
class SignedIn:
    """A person and the bearer token of the new session, valid for twelve hours."""

    user: User
    token: IssuedToken
    expires_at: datetime


async def sign_in(
    database: Database, redis: Redis, *, email: str, password: str, address: str, now: datetime
) -> SignedIn:
    """Checks the password and opens a session.

    Raises `CallwrightError`: UNAUTHENTICATED, the same for an unknown e-mail, a wrong password and a disabled account;
    RATE_LIMITED after five failures for one e-mail from one address, or a hundred tries from one address,
    within fifteen minutes.
    """
    throttle = _Throttle(redis, email=email.strip().lower(), address=address)
    await throttle.count_try()
    async with database.system() as session:
        user = await session.scalar(
            select(User).where(func.lower(col(User.email)) == email.strip().lower(), col(User.disabled_at).is_(None))
        )
    stored = user.password_hash if user else None
    if not await verify_password(stored, password) or user is None or stored is None:
        raise CallwrightError(
            ErrorCode.UNAUTHENTICATED,
            "E-mail or password is wrong.",
            field="password",
            rule="sign_in",
            remedy="Check both and try again.",
        )
    renewed = await hash_password(password) if is_outdated(stored) else None
    expires_at = now + SESSION
    async with database.system() as session:
        if renewed is not None:
            row = await session.get_one(User, user.id, with_for_update=True)
            if row.password_hash == stored:
                row.password_hash = renewed
        token = await issue(session, user.id, SESSION_NAME, now, expires_at)
        record(session, "user.signed_in", "user", user.id, actor_id=user.id)
    await throttle.forgive()
    return SignedIn(user, token, expires_at)


class _Throttle:
    """Counts tries in Redis before they are made, so that parallel guesses cannot slip under the limit."""

    def __init__(self, redis: Redis, *, email: str, address: str) -> None:
        self._redis = redis
        # Hashed: who signs in from where does not belong into a store of hints.
        self._person = "callwright:sign-in:" + hashlib.sha256(f"{email}\n{address}".encode()).hexdigest()
        self._address = "callwright:sign-in:" + hashlib.sha256(address.encode()).hexdigest()

    async def count_try(self) -> None:
        """Raises `CallwrightError` (RATE_LIMITED) when either limit is passed."""
        for key, limit in ((self._person, TRIES_PER_PERSON), (self._address, TRIES_PER_ADDRESS)):
            async with self._redis.pipeline(transaction=True) as pipeline:
                pipeline.set(key, 0, ex=WINDOW_SECONDS, nx=True)
                pipeline.incr(key)
                pipeline.ttl(key)
                _, tries, seconds = await pipeline.execute()
            if tries > limit:
                raise CallwrightError(
                    ErrorCode.RATE_LIMITED,
                    "Too many sign-ins failed.",
                    field="email",
                    rule="sign_in_throttle",
                    remedy=f"Wait {max(1, int(seconds) // 60 + 1)} minutes and try again.",
                )

    async def forgive(self) -> None:
        """A success clears the person's count; the address's is left to run out."""
        await self._redis.delete(self._person)
