"""The key pair of arg_sync: it makes the private key once, and publishes the public one.

Replicas share the file. Only the first start on a database makes a key: a second one would not open
what is stored, so a lost file is reported and not replaced.
"""

from sqlalchemy.ext.asyncio import AsyncConnection

from services.arg_sync.connections.store import secrets
from shared import sealing, telemetry
from shared.consumer.records import Applied
from shared.consumer.unit_of_work import BackgroundJob
from shared.errors import Refused


def publish_key() -> BackgroundJob:
    """Return a background job that publishes the public key, also of a file that appears later."""
    reported = ""

    async def job(connection: AsyncConnection) -> Applied:
        nonlocal reported
        path = sealing.key_file()
        try:
            if not path.exists() and not await secrets.sealing_key_count(connection):
                sealing.make_private_key(path)
                telemetry.log().info("private key for secrets of ledgers made", file=str(path))
            public_key = sealing.public_key_of(sealing.read_private_key())
        except (Refused, OSError) as error:
            message = f"{error.message}; {error.fix}" if isinstance(error, Refused) else str(error)
            if message != reported:
                telemetry.log().error(f"no secret of a ledger can be opened: {message}")
            reported = message
            return Applied()
        await secrets.publish_sealing_key(connection, sealing.key_id(public_key), public_key)
        return Applied()

    return job
