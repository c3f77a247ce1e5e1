"""Xero's official OpenAPI description as a validator of traffic, both ways (jsonschema over the
file's own schemas, made stricter).

The file marks almost nothing as required, and lets unknown fields pass. So what a request must hold
is said here, and a request may hold no field that the description does not know or that it calls
read-only. Answers may hold more than it knows: its own examples do.
"""

import os
import re
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft202012Validator, FormatChecker
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

from tests.ledgers.fake import Asked, Reply

FILE = Path(
    os.environ.get(
        "XERO_OPENAPI", str(Path(__file__).parents[3] / "shared/specs/xero_accounting.yaml")
    )
)
REQUIRED_IN_REQUESTS = {
    "Invoice": [
        "Type",
        "Contact",
        "LineItems",
        "Date",
        "DueDate",
        "InvoiceNumber",
        "CurrencyCode",
        "LineAmountTypes",
        "Status",
    ],
    "CreditNote": [
        "Type",
        "Contact",
        "LineItems",
        "Date",
        "CreditNoteNumber",
        "CurrencyCode",
        "LineAmountTypes",
        "Status",
    ],
    "LineItem": ["Description", "Quantity", "UnitAmount", "LineAmount"],
    "Contact": [],
    "Allocation": ["Amount", "Date", "Invoice"],
}
REQUIRED_IN_ANSWERS = {
    "Invoice": [],
    "CreditNote": [],
    "Contact": [],
    "Payment": ["PaymentID", "Amount", "Date", "Status", "Invoice"],
}
LISTS = {
    "Invoices": "Invoice",
    "CreditNotes": "CreditNote",
    "Contacts": "Contact",
    "Allocations": "Allocation",
}
WRITTEN_DATE, READ_DATE = r"^\d{4}-\d\d-\d\d$", r"^/Date\(-?\d+([+-]\d{4})?\)/$"


class NotDescribed(AssertionError):
    """Traffic that the description does not allow."""


@cache
def description() -> dict[str, Any]:
    """The file."""
    loaded: dict[str, Any] = yaml.load(FILE.read_text(encoding="utf-8"), Loader=yaml.CSafeLoader)
    return loaded


@cache
def _registry(requests: bool) -> Registry[Any]:
    """Its schemas, as strict as one direction may be.

    References stay references, so that circles do no harm.
    """
    schemas = deepcopy(description()["components"]["schemas"])
    for name, schema in schemas.items():
        if schema.get("type") != "object":
            continue
        properties = schema.get("properties", {})
        for field, inner in list(properties.items()):
            if inner.get("x-is-msdate") or field == "UpdatedDateUTC":
                inner["pattern"] = WRITTEN_DATE if requests else READ_DATE
            if requests and inner.get("readOnly"):
                del properties[field]
        if requests:
            schema["additionalProperties"] = False
        schema["required"] = (REQUIRED_IN_REQUESTS if requests else REQUIRED_IN_ANSWERS).get(
            name, schema.get("required", [])
        )
        if name in LISTS and requests:
            schema["required"] = [name]
            properties[name]["minItems"] = 1
    # An invoice inside another document is named by its id alone.
    if requests:
        schemas["Allocation"]["properties"]["Invoice"] = {
            "type": "object",
            "properties": {"InvoiceID": {"type": "string", "format": "uuid"}},
            "required": ["InvoiceID"],
        }
    document = {
        "components": {"schemas": schemas, "responses": description()["components"]["responses"]}
    }
    return Registry().with_resource(
        "urn:xero", Resource.from_contents(document, default_specification=DRAFT202012)
    )


def wrong_in(schema: dict[str, Any], value: Any, *, requests: bool) -> list[str]:
    """What is wrong with a value, in messages."""
    absolute = _absolute(schema)
    validator = Draft202012Validator(
        absolute, registry=_registry(requests), format_checker=FormatChecker()
    )
    return [
        f"{error.json_path}: {error.message[:200]}"
        for error in validator.iter_errors(_plain(value))
    ]


def operation_of(method: str, path: str) -> dict[str, Any]:
    """The operation of a request, or none such is described."""
    for template, operations in description()["paths"].items():
        pattern = "/".join(
            "[^/]+" if part.startswith("{") else re.escape(part) for part in template.split("/")
        )
        if re.fullmatch(pattern, path) and method.lower() in operations:
            found = operations[method.lower()]
            shared = [
                _resolved(each)
                for each in [*operations.get("parameters", ()), *found.get("parameters", ())]
            ]
            return {**found, "parameters": shared}
    raise NotDescribed(f"{method} {path} is not described")


def check(asked: Asked, path: str, reply: Reply | None) -> None:
    """Holds a request, or the reply to it, against the description."""
    operation = operation_of(asked.method, path)
    if reply is None:
        _check_request(asked, operation)
        return
    if reply.status == 404:
        return  # the description has no 404
    described = operation["responses"].get(str(reply.status))
    if described is None:
        raise NotDescribed(f"{operation['operationId']} never answers {reply.status}")
    schema = _resolved(described)["content"]["application/json"]["schema"]
    said = wrong_in(schema, Asked("", "", {}, {}, reply.body).json(), requests=False)
    if said:
        raise NotDescribed(f"the answer of {operation['operationId']}: {'; '.join(said)}")


def _check_request(asked: Asked, operation: dict[str, Any]) -> None:
    known = {
        each["name"].lower(): each for each in operation["parameters"] if each["in"] == "query"
    }
    unknown = sorted(set(map(str.lower, asked.query)) - set(known))
    if unknown:
        raise NotDescribed(f"{operation['operationId']} knows no parameter {', '.join(unknown)}")
    for each in operation["parameters"]:
        if (
            each["in"] == "header"
            and each.get("required")
            and each["name"].lower() not in asked.headers
        ):
            raise NotDescribed(f"{operation['operationId']} needs the header {each['name']}")
        if (
            each["in"] == "query"
            and each["name"] in asked.query
            and each["schema"].get("type") == "integer"
        ):
            int(asked.query[each["name"]])
    if asked.headers.get("accept") != "application/json":
        raise NotDescribed("without Accept: application/json Xero answers XML")
    if len(asked.headers.get("idempotency-key", "")) > 128:
        raise NotDescribed("the key is longer than 128 characters")
    if "requestBody" in operation:
        said = wrong_in(
            operation["requestBody"]["content"]["application/json"]["schema"],
            asked.json(),
            requests=True,
        )
        if said:
            raise NotDescribed(f"the request of {operation['operationId']}: {'; '.join(said)}")


def _absolute(schema: Any) -> Any:
    """With references that lead into the registered file."""
    if isinstance(schema, dict):
        return {
            name: f"urn:xero{part}" if name == "$ref" else _absolute(part)
            for name, part in schema.items()
        }
    return [_absolute(part) for part in schema] if isinstance(schema, list) else schema


def _resolved(each: dict[str, Any]) -> dict[str, Any]:
    """What a reference points at."""
    found: Any = each
    while "$ref" in found:
        where = found["$ref"].removeprefix("#/").split("/")
        found = description()
        for part in where:
            found = found[part]
    return dict(found)


def _plain(value: Any) -> Any:
    """Decimals as the numbers that jsonschema knows."""
    if isinstance(value, dict):
        return {name: _plain(part) for name, part in value.items()}
    if isinstance(value, list):
        return [_plain(part) for part in value]
    return float(str(value)) if type(value).__name__ == "Decimal" else value
