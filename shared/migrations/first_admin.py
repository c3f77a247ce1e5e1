"""Add the first program with the role admin. Only the login of the migrations can do this.

Everything else about people and keys is a signed command of an admin, so the first one needs
another way.
"""

from pathlib import Path

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

from shared.errors import Refused
from shared.logins import OWNER, address_of, connect_to
from shared.signing import Signer

ADDED_BY = "the login of the migrations"


async def add_admin(database_url: str, program: str, file: Path) -> str:
    """Make a key pair, write the private key to a new file, and return the id of the key.

    Raises `Refused` if the file exists, or a person or program of that name.
    """
    address = address_of(OWNER, database_url)
    engine = create_async_engine(address, async_creator=lambda: connect_to(address))
    try:
        async with engine.connect() as connection:
            async with connection.begin():
                signer = await _add_program(connection, program)
                signer.save(file)  # before the commit: else a key could be on record and in no file
        return signer.key_id
    finally:
        await engine.dispose()


async def _add_program(connection: AsyncConnection, program: str) -> Signer:
    audience = await connection.scalar(text("SELECT audience FROM invoicer.installation"))
    signer = Signer.new(program, str(audience))
    values = {"program": program, "by": ADDED_BY}
    known = await connection.scalar(
        text(
            "SELECT count(*) FROM (SELECT person FROM invoicer.person UNION ALL"
            " SELECT program FROM invoicer.program) AS known (name) WHERE name = :program"
        ),
        values,
    )
    if known:
        raise Refused(
            "name_taken",
            f"there is a person or a program {program} already",
            "take another name; a program that lost its key gets one from any other admin with"
            " `backoffice keys rotate`",
        )
    key = {"key_id": signer.key_id, "public_key": signer.public_key}
    for statement in (
        "INSERT INTO invoicer.program (program, added_by) VALUES (:program, :by)",
        "INSERT INTO invoicer.program_key (key_id, program, public_key, added_by)"
        " VALUES (:key_id, :program, :public_key, :by)",
        "INSERT INTO invoicer.role_grant (actor, role, billing_company)"
        " VALUES (:program, 'admin', '')",
    ):
        await connection.execute(text(statement), values | key)
    return signer
