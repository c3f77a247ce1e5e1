"""The search box: a document, invoice, pay line, debtor or batch, by what people type."""

from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter
from fastapi.responses import Response

from services.console.columns.search import HITS
from services.console.queries.search import search
from services.console.web.pages import OpenPage

router = APIRouter()
LONGEST = 200


@router.get("/search")
async def find(page: OpenPage, text: str = "") -> Response:
    """What was found; the one thing that was found at once."""
    wanted = text.strip()[:LONGEST].replace("\0", "")
    hits = await page.read(search, wanted) if wanted else []
    hits = [hit for hit in hits if page.identity.sees(hit["billing_company"])]
    if len(hits) == 1:
        return page.redirect(*_place(hits[0])[:1], **_place(hits[0])[1])
    links = {"id": lambda row: page.link(_place(row)[0], **_place(row)[1])}
    return page.show("search.html", text=wanted, hits=hits, columns=HITS, links=links)


def _place(hit: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """The path and the query of the page that shows a hit."""
    company = {"company": hit["billing_company"]}
    match hit["kind"]:
        case "invoice":
            return f"/invoices/{hit['id']}", company
        case "batch":
            return f"/batches/{hit['id']}", company
        case "debtor":
            return "/invoices", company | {"account_name": hit["id"]}
        case "pay line":
            return f"/pay-lines/{hit['id']}", company
        case "held document":
            return "/inbox", company
        case _:
            return "/pay-lines", company | {"document": hit["id"]}
