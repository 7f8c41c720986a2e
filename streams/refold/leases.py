"""Holding a lease while a block runs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from schemas.errors import RetryableError, UnreachableError
from sinks.generations import LEASE_SECONDS
from streams.refold.parts import JobLease


@asynccontextmanager
async def holding(lease: JobLease) -> AsyncIterator[None]:
    """Renew a lease that was taken, and give it back at the end.

    One that is lost all the same stops nothing here: whatever
    is written under it is fenced.
    """
    renewing = asyncio.create_task(_renew(lease))
    try:
        yield
    finally:
        renewing.cancel()
        await asyncio.wait([renewing])
        await asyncio.to_thread(lease.release)


async def _renew(lease: JobLease) -> None:
    while True:
        await asyncio.sleep(LEASE_SECONDS / 6)
        with suppress(UnreachableError, RetryableError):  # the work at hand meets the same failure, and ends with it
            await asyncio.to_thread(lease.renew)
