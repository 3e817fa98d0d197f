"""What the Prefect server does to notify people: a block that keeps no address, nor any secret.

Prefect encrypts the secrets of a block by a key that it keeps in the same database. This one reads
the list of addresses when there is something to send; the server's process knows it by importing
this file (guarded_servers.py).
"""

import asyncio

from prefect.blocks.abstract import NotificationBlock, NotificationError

from deployments.stack import failed_runs
from tasks.record import notifications


class FailedRunBlock(NotificationBlock):
    """Tells every address of the list that a run has failed."""

    _block_type_name = failed_runs.BLOCK_NAME
    _block_type_slug = failed_runs.BLOCK_SLUG

    async def notify(self, body: str, subject: str | None = None) -> None:
        """Send, and let the server log which address was not reached."""
        deliveries = await asyncio.to_thread(
            notifications.tell, "failed run", subject or "a run failed", body
        )
        lost = [f"{each.address}: {each.why}" for each in deliveries if not each.is_delivered]
        if lost:
            raise NotificationError("; ".join(lost))
