"""Passwords as Argon2id hashes, by the library's current parameters; computed off the event loop."""

import asyncio

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

LONGEST_PASSWORD = 1024


async def hash_password(password: str) -> str:
    """The encoded hash to store."""
    return await asyncio.to_thread(PasswordHasher().hash, password)


async def verify_password(stored: str | None, password: str) -> bool:
    """Whether `password` belongs to `stored`. Without a stored hash it costs the same time and is False."""
    if len(password) > LONGEST_PASSWORD:
        return False
    if stored is None:
        # An answer that came faster would tell which e-mail addresses have an account.
        await hash_password(password)
        return False
    try:
        return await asyncio.to_thread(PasswordHasher().verify, stored, password)
    except (VerificationError, InvalidHashError):
        return False


def is_outdated(stored: str) -> bool:
    """True when `stored` was made with weaker parameters than today's: hash again at the next sign-in."""
    return PasswordHasher().check_needs_rehash(stored)
