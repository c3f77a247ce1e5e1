"""Publish what changed in Bullhorn.

    python examples/ats_bridge SETTINGS.toml [--once | --subscribe | --load ENTITY]

Bullhorn's events are thin: they name an entity and not its values. Each round asks for events,
fetches the entities (mapping.py makes messages of them), stores the messages, publishes them, and
only then asks for further events: until then Bullhorn gives the same ones again by `requestId`.
See "An ATS with thin events" in docs/formats.md.
"""

import asyncio
import json
import sqlite3
import sys
import tomllib
from contextlib import closing
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx2
from aiokafka.errors import KafkaError
from mapping import CANCELLED, ENTITIES, ENTRY_FIELDS

from shared.broker.producer import OutgoingMessage, Producer, stable_id
from shared.events.registry import EVENT_MODELS
from shared.private_files import write_private

MAX_EVENTS, PAGE = 100, 200
TABLES = """
PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE; -- one process at a time
CREATE TABLE IF NOT EXISTS request (one INTEGER PRIMARY KEY, done);
CREATE TABLE IF NOT EXISTS entry (id INTEGER PRIMARY KEY, timesheet INTEGER);
CREATE TABLE IF NOT EXISTS refused (entity, id, at, why, PRIMARY KEY (entity, id));
CREATE TABLE IF NOT EXISTS message
  (topic, id, stamp, revision, body, published, PRIMARY KEY (topic, id));
COMMIT;
"""


class AtsFailed(Exception):
    """Bullhorn did not answer as it should; the next round tries again. Never quotes a secret."""


class Ats:
    """A REST session of Bullhorn, begun anew whenever it has ended."""

    def __init__(self, session_file: Path) -> None:
        self._file, self._url, self._token = session_file, "", ""
        self._client = httpx2.AsyncClient(timeout=60)

    async def call(self, path: str, method: str = "GET", /, **params: Any) -> Any:
        """The answer; None if there is nothing of that address. Raises AtsFailed."""
        for _ in range(2):
            if not self._token:
                await self._log_in()
            headers = {"BhRestToken": self._token}
            answer = await self._send(method, self._url + path, headers=headers, params=params)
            if answer.status_code != 401:
                return None if answer.status_code == 404 else _content(answer, path)
            self._token = ""
        raise AtsFailed("the session is refused right after the login")

    async def _log_in(self) -> None:
        """Each refresh token is good for one use, so the next one is kept before anything else."""
        own = json.loads(self._file.read_text())
        form = {name: own[name] for name in ("client_id", "client_secret", "refresh_token")}
        form |= {"grant_type": "refresh_token"}
        tokens = _content(await self._send("POST", own["token_url"], params=form), "token")
        write_private(self._file, json.dumps(own | {"refresh_token": tokens["refresh_token"]}))
        params = {"version": "*", "access_token": tokens["access_token"]}
        session = _content(await self._send("GET", own["login_url"], params=params), "login")
        self._url, self._token = session["restUrl"], session["BhRestToken"]

    async def _send(self, method: str, url: str, **options: Any) -> httpx2.Response:
        try:
            return await self._client.request(method, url, **options)
        except httpx2.HTTPError as error:
            raise AtsFailed(f"no answer ({type(error).__name__})") from None


def _content(answer: httpx2.Response, what: str) -> Any:
    if answer.status_code != 200:
        raise AtsFailed(f"{what}: HTTP status {answer.status_code}")
    try:
        return json.loads(answer.content or b"{}", parse_float=Decimal)
    except ValueError:
        raise AtsFailed(f"{what}: the answer is not JSON") from None


class Bridge:
    """Carries changes from Bullhorn to Kafka; what it knows is in one SQLite file."""

    def __init__(self, firm: dict[str, Any], store: sqlite3.Connection) -> None:
        self._store = store
        self._firm, self._ats = firm, Ats(Path(firm["session"]))
        self._events = f"event/subscription/{firm['subscription']}"
        self._store.executescript(TABLES)

    async def subscribe(self) -> None:
        """Make the subscription, once: events begin here."""
        names, kinds = ",".join([*ENTITIES, "TimesheetEntry"]), "INSERTED,UPDATED,DELETED"
        await self._ats.call(self._events, "PUT", type="entity", names=names, eventTypes=kinds)

    async def load(self, entity: str) -> None:
        """Publish all that there is of an entity, for the first day."""
        last, order = 0, {"fields": "id", "orderBy": "id", "count": PAGE}
        path = f"query/{entity}"
        while page := (await self._ats.call(path, where=f"id>{last}", **order) or {}).get("data"):
            for each in page:
                await self._take(entity, each["id"], 0)
            await self._publish()
            last = page[-1]["id"]

    async def round(self) -> None:
        """Publish what was stored, and all events that there are. Raises AtsFailed, KafkaError."""
        for refused in self._store.execute("SELECT entity, id, at FROM refused").fetchall():
            await self._take(*refused)
        await self._publish()
        last = ((await self._ats.call(self._events + "/lastRequestId")) or {}).get("result") or 0
        (done,) = self._store.execute("SELECT max(done) FROM request").fetchone()
        first = max(last, 1) if done is None or done > last else done + 1
        for request in range(first, last + 1):  # given before, and not published
            await self._take_all(await self._get(requestId=request) | {"requestId": request})
        while (found := await self._get()).get("events"):
            await self._take_all(found)

    async def _get(self, **of_request: int) -> dict[str, Any]:
        found = await self._ats.call(self._events, maxEvents=MAX_EVENTS, **of_request)
        if found is None:
            raise AtsFailed(f"there is no {self._events}: run with --subscribe once")
        return dict(found)

    async def _take_all(self, found: dict[str, Any]) -> None:
        changed = {(each["entityName"], each["entityId"]): each for each in found.get("events", ())}
        for (entity, an_id), event in changed.items():
            await self._take(entity, an_id, event["eventTimestamp"])
        await self._publish()
        if "requestId" in found:
            self._store.execute("REPLACE INTO request VALUES (1, ?)", (found["requestId"],))

    async def _take(self, entity: str, an_id: int, at: int) -> None:
        """Store the message of an entity as it is now, or why there is none."""
        if entity == "TimesheetEntry":
            found = self._store.execute("SELECT timesheet FROM entry WHERE id = ?", (an_id,))
            (owner,) = found.fetchone() or (await self._timesheet_of(an_id),)
            entity, an_id = "Timesheet", owner
        if entity not in ENTITIES or not an_id:
            return
        topic, fields, make = ENTITIES[entity]
        path = f"entity/{entity}/{an_id}"
        answer = await self._ats.call(path, fields=fields)
        if answer is None and await self._ats.call(path, fields="id") is not None:
            raise AtsFailed(f"{entity} {an_id} has not all fields of mapping.py")
        values = answer and answer.get("data", answer)
        if values and entity == "Timesheet":
            values["entries"] = await self._entries(an_id)
        self._store.execute("DELETE FROM refused WHERE (entity, id) = (?, ?)", (entity, an_id))
        query = "SELECT stamp, revision, body FROM message WHERE (topic, id) = (?, ?)"
        stamp, revision, text = self._store.execute(query, (topic, an_id)).fetchone() or (0, 0, "")
        before = json.loads(text) if text else None
        try:
            if values:
                now, body = values["dateLastModified"], make(values, self._firm, before)
            else:  # deleted
                now, body = max(at, stamp), (before or {}) | CANCELLED.get(entity, {})
            if body == before or now < stamp or not (values or before):
                return
            row = (topic, an_id, now, max(now, revision + 1), json.dumps(body))
            EVENT_MODELS[topic].model_validate_json(json.dumps(body | {"revision": row[3]}))
        except (ArithmeticError, KeyError, TypeError, ValueError) as error:
            print(f"{entity} {an_id} is not published: {error!r}", file=sys.stderr)
            refused = (entity, an_id, at, repr(error))
            self._store.execute("INSERT INTO refused VALUES (?, ?, ?, ?)", refused)
            return
        self._store.execute("REPLACE INTO message VALUES (?, ?, ?, ?, ?, 0)", row)

    async def _timesheet_of(self, entry: int) -> Any:
        found = await self._ats.call(f"entity/TimesheetEntry/{entry}", fields="timesheet(id)")
        return found and found.get("data", found)["timesheet"]["id"]

    async def _entries(self, timesheet: int) -> list[dict[str, Any]]:
        """All entries of a timesheet."""
        where, entries = f"timesheet.id={timesheet}", list[dict[str, Any]]()
        order = {"fields": ENTRY_FIELDS, "orderBy": "id", "count": PAGE}
        while page := (
            await self._ats.call("query/TimesheetEntry", where=where, start=len(entries), **order)
            or {}
        ).get("data"):
            entries += page
        rows = [(each["id"], timesheet) for each in entries]
        self._store.executemany("REPLACE INTO entry VALUES (?, ?)", rows)
        return entries

    async def _publish(self) -> None:
        """Publish what is stored; it is done only when Kafka has acknowledged all of it."""
        unsent = "SELECT topic, id, revision, body FROM message WHERE NOT published"
        messages = [
            OutgoingMessage(
                topic,
                str(an_id),
                json.dumps(json.loads(body) | {"revision": revision}).encode(),
                stable_id("ats_bridge", topic, an_id, revision),
            )
            for topic, an_id, revision, body in self._store.execute(unsent)
        ]
        if messages:
            async with Producer("/ats_bridge") as producer:
                await producer.publish(messages)
            self._store.execute("UPDATE message SET published = 1")
            print(f"{len(messages)} messages published", flush=True)


async def main(firm: dict[str, Any], action: str = "", *entities: str) -> int:
    """Run rounds for ever, or do one thing; 1 if it failed."""
    with closing(sqlite3.connect(firm["state"], isolation_level=None)) as store:
        bridge = Bridge(firm, store)
        actions: dict[str, Any] = {"--subscribe": bridge.subscribe, "--load": bridge.load}
        while True:
            failed = False
            try:
                await actions.get(action, bridge.round)(*entities)
            except (AtsFailed, KafkaError, OSError) as error:
                failed = True
                print(f"not done, nothing is lost: {error}", file=sys.stderr, flush=True)
            if action:
                return int(failed)
            await asyncio.sleep(firm["seconds"])


if __name__ == "__main__":
    sys.exit(asyncio.run(main(tomllib.loads(Path(sys.argv[1]).read_text()), *sys.argv[2:])))
