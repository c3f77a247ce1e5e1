"""A Bullhorn in memory, for `tests.ledgers.fake.FakeServer`: OAuth, login, events, entities.

It answers as https://bullhorn.github.io/rest-api-docs/ describes. Events that were given are gone
from the subscription and come again only by their `requestId`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.ledgers.fake import Asked, Reply, Written

REST, SUBSCRIPTION = "/rest-services/e999/", "event/subscription/backoffice"


@dataclass
class Bullhorn:
    """Entities by name and id; `status` is what the next requests for one entity get instead."""

    journal: list[Written] = field(default_factory=list)
    entities: dict[str, dict[int, dict[str, Any]]] = field(default_factory=dict)
    waiting: list[dict[str, Any]] = field(default_factory=list)
    given: list[list[dict[str, Any]]] = field(default_factory=list)
    status: dict[str, int] = field(default_factory=dict)
    subscribed: Mapping[str, str] = field(default_factory=dict)
    url: str = ""
    logins: int = 0
    session: str = ""

    def put(self, name: str, an_id: int, /, **values: Any) -> None:
        """Set values of an entity, and have an event say that it changed."""
        stored = self.entities.setdefault(name, {}).setdefault(an_id, {"id": an_id})
        stored.update(values)
        self.say(name, an_id)

    def delete(self, name: str, an_id: int, at: int) -> None:
        """Delete an entity."""
        del self.entities[name][an_id]
        self.say(name, an_id, "DELETED", at)

    def say(self, name: str, an_id: int, kind: str = "UPDATED", at: int = 0) -> None:
        """Put an event into the subscription."""
        event = {"eventId": f"ID:{len(self.waiting)}", "eventType": "ENTITY", "eventMetadata": {}}
        event |= {"entityName": name, "entityId": an_id, "entityEventType": kind}
        self.waiting.append(event | {"eventTimestamp": at, "updatedProperties": []})

    def makes_document(self, asked: Asked) -> bool:
        """No fault of the network is planned here."""
        return False

    def refusal(self, asked: Asked, *, in_200: bool) -> Reply:
        """Not used."""
        raise NotImplementedError

    def with_wrong_amount(self, asked: Asked) -> Reply:
        """Not used."""
        raise NotImplementedError

    def handle(self, asked: Asked) -> Reply:
        """Answer one request."""
        path, query = asked.path.partition("?")[0], asked.query
        if path == "/oauth/token":
            if query["refresh_token"] != f"refresh-{self.logins}" or query["client_id"] != "us":
                return Reply.of(400, {"error": "invalid_grant"})
            self.logins += 1  # a refresh token is good for one use
            access, refresh = f"access-{self.logins}", f"refresh-{self.logins}"
            return Reply.of(200, {"access_token": access, "refresh_token": refresh})
        if path == "/rest-services/login":
            if query["access_token"] != f"access-{self.logins}" or query["version"] != "*":
                return Reply.of(401, {})
            self.session = f"session-{self.logins}"
            return Reply.of(200, {"BhRestToken": self.session, "restUrl": self.url + REST})
        headers = {name.lower(): value for name, value in asked.headers.items()}
        if not self.session or headers.get("bhresttoken") != self.session:
            return Reply.of(401, {"errorMessage": "Bad 'BhRestToken'"})
        return self._answer(asked.method, path.removeprefix(REST), query)

    def _answer(self, method: str, path: str, query: Mapping[str, str]) -> Reply:
        what, _, rest = path.partition("/")
        if path in self.status:
            return Reply.of(self.status[path], {})
        if path == SUBSCRIPTION + "/lastRequestId":
            return Reply.of(200, {"result": len(self.given)})
        if path == SUBSCRIPTION and method == "PUT":
            self.subscribed = query
            return Reply.of(200, {"lastRequestId": 0, "subscriptionId": "backoffice"})
        if path == SUBSCRIPTION:
            return self._events(int(query["maxEvents"]), int(query.get("requestId", 0)))
        name, _, an_id = rest.partition("/")
        stored = self.entities.get(name, {})
        if what == "query":
            return Reply.of(200, {"data": self._page(name, query)})
        if int(an_id) not in stored:
            return Reply.of(404, {})
        return Reply.of(200, {"data": stored[int(an_id)]})

    def _events(self, most: int, again: int) -> Reply:
        if not again and not self.waiting:
            return Reply(200)
        if not again:
            self.given.append(self.waiting[:most])
            del self.waiting[:most]
        number = again or len(self.given)
        return Reply.of(200, {"requestId": number, "events": self.given[number - 1]})

    def _page(self, name: str, query: Mapping[str, str]) -> list[dict[str, Any]]:
        field_name, value = query["where"].replace(">", "=").split("=")
        found = [
            entity
            for _, entity in sorted(self.entities.get(name, {}).items())
            if (entity["id"] > int(value) if field_name == "id" else False)
            or (field_name == "timesheet.id" and entity["timesheet"]["id"] == int(value))
        ]
        start = int(query.get("start", 0))
        return found[start : start + int(query["count"])]
