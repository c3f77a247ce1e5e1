"""Sage Intacct's XML gateway as the fault server plays it.

Sources: https://developer.intacct.com/web-services/requests/, /web-services/responses/,
/web-services/queries/, and of https://developer.intacct.com/api/accounts-receivable/ the pages
invoices, ar-adjustments, customers and ar-payments. Each behaviour names its page. What no page
says is marked as assumed: docs/ledgers/sage-intacct.md tells what happens if it is otherwise.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from lxml import etree

from services.arg_sync.ledgers.intacct_xml import element, text_of
from tests.ledgers.fake import Asked, Reply, Written

PATH = "/ia/xml/xmlgw.phtml"
SENDER, COMPANY, USER = "acme-sender", "acme-co", "bo-user"
SECRETS = {"sender_password": "sender-secret-1", "user_password": "user-secret-2"}
SETTINGS = {
    "sender_id": SENDER,
    "company_id": COMPANY,
    "user_id": USER,
    "base_currency": "USD",
    "tax_as": "lines",
    "most_lines": "0",
}
HEADERS = {"content-type": "text/xml"}
CREATES = {"create_invoice": "ARINVOICE", "create_aradjustment": "ARADJUSTMENT"}
OPERATORS: dict[str, Callable[[str, list[str]], bool]] = {
    "equalto": lambda value, given: value == given[0],
    "in": lambda value, given: value in given,
    "greaterthanorequalto": lambda value, given: value >= given[0],
}
Error = tuple[str, str, str]


@dataclass
class IntacctVendor:
    """One company in memory. `executed`: control ids of functions that were carried out."""

    journal: list[Written] = field(default_factory=list)
    records: dict[str, list[dict[str, str]]] = field(default_factory=dict)
    accounts: set[str] = field(default_factory=lambda: {"4000", "2200"})
    executed: set[str] = field(default_factory=set)
    passwords: dict[str, str] = field(default_factory=lambda: dict(SECRETS))
    logins: int = 0
    refused: int = 0
    sent: list[Any] = field(default_factory=list)
    _ticks: int = 0

    def makes_document(self, asked: Asked) -> bool:
        """A request with one of the two functions."""
        root = etree.fromstring(asked.body)
        return root.find("operation/content/function")[0].tag in CREATES

    def handle(self, asked: Asked) -> Reply:
        """Three levels of status: control, authentication, function (web-services/responses)."""
        return self._answer(asked, Decimal(0))

    def _answer(self, asked: Asked, more: Decimal) -> Reply:
        assert asked.method == "POST" and asked.path == PATH
        root = etree.fromstring(asked.body)
        assert [each.tag for each in root] == ["control", "operation"]
        control, login = root.find("control"), root.find("operation/authentication/login")
        assert control.findtext("dtdversion") == "3.0"  # web-services/requests
        self.logins += 1
        given = (control.findtext("password"), login.findtext("password"))
        wanted = (self.passwords["sender_password"], self.passwords["user_password"])
        self.refused += given != wanted
        if given[0] != wanted[0]:
            error = element(
                "errormessage", _error("XL03000006", "Incorrect Intacct XML Partner ID")
            )
            failed = element("control", element("status", "failure"))
            return Reply(200, text_of(element("response", failed, error)).encode(), dict(HEADERS))
        if given[1] != wanted[1]:
            return self._reply(None, ("XL03000006", "Sign-in information is incorrect", ""))
        function = root.find("operation/content/function")
        control_id, unique = function.get("controlid"), control.findtext("uniqueid") == "true"
        # "The controlid attribute of the function will be checked to determine if the operation
        # was previously executed and completed" (web-services/requests); the words are assumed.
        if unique and control_id in self.executed:
            error = ("BL01001973", f"The function {control_id} was already executed", "")
            return self._reply(element("result"), error)
        made = self._execute(function[0], more)
        if isinstance(made, tuple):
            return self._reply(element("result"), made)
        if unique:
            self.executed.add(control_id)
        return self._reply(made)

    def _reply(self, result: Any, error: Error | None = None) -> Reply:
        """A response as in the examples of web-services/requests and /queries."""
        failed = "failure" if error is not None else "success"
        signed_in = result is not None
        message = element("errormessage", _error(*error)) if error is not None else None
        if result is not None:
            result.insert(0, element("status", failed))
            if message is not None:
                result.append(message)
        authentication = element(
            "authentication",
            element("status", "success" if signed_in else "failure"),
            element("userid", USER),
            element("companyid", COMPANY),
        )
        operation = element(
            "operation", authentication, result, message if result is None else None
        )
        control = element("control", element("status", "success"))
        whole = element("response", control, operation)
        return Reply(200, text_of(whole).encode(), dict(HEADERS))

    def _execute(self, function: Any, more: Decimal) -> Any:
        self.sent.append(function)
        if function.tag in CREATES:
            return self._document(function, more)
        if function.tag == "create":
            return self._create(function[0])
        assert function.tag == "query", function.tag
        return self._query(function)

    def _document(self, made: Any, more: Decimal) -> Any:
        """create_invoice and create_aradjustment (api/accounts-receivable/invoices and
        /ar-adjustments): the order of the elements is that of the pages; a credit memo has
        negative amounts; the answer has a key.
        """
        credit = made.tag == "create_aradjustment"
        number = made.findtext("adjustmentno" if credit else "invoiceno")
        name = CREATES[made.tag]
        if any(one["RECORDID"] == number for one in self.records.get(name, [])):
            # The category is that of the page's example of a duplicate; for invoices assumed.
            return ("BL01001973", f"The number '{number}' is in use", "Duplication Prevention")
        items = made.findall("*/lineitem")
        for each in items:
            if each.findtext("glaccountno") not in self.accounts:
                return ("BL01001973", f"Account {each.findtext('glaccountno')} is invalid", "")
        total = sum((Decimal(each.findtext("amount")) for each in items), more)
        total += sum((Decimal(each.text) for each in made.iter("trx_tax") if each.text), Decimal(0))
        if credit:
            total -= 2 * more
        record = self._add(
            name,
            RECORDID=number,
            STATE="Posted",
            CURRENCY=made.findtext("currency") or "",
            TRX_TOTALENTERED=str(total),
            TRX_TOTALDUE=str(total),
            CUSTOMERID=made.findtext("customerid"),
            WHENCREATED="/".join(
                made.find("datecreated").findtext(part) for part in ("month", "day", "year")
            ),
        )
        kind = "credit-note" if credit else "invoice"
        worth, who = abs(total), record["CUSTOMERID"]
        written = Written(number, kind, worth, "USD", who, record["RECORDNO"], "posted")
        self.journal.append(written)
        return element("result", element("function", made.tag), element("key", record["RECORDNO"]))

    def _create(self, made: Any) -> Any:
        """create of CUSTOMER and ARPYMT (their pages); the answer lists the objects."""
        if made.tag == "CUSTOMER":
            number = len(self.records.get("CUSTOMER", [])) + 1
            an_id = made.findtext("CUSTOMERID") or f"C-{number:05d}"
            if any(one["CUSTOMERID"] == an_id for one in self.records.get("CUSTOMER", [])):
                return ("BL01001973", f"Customer {an_id} already exists", "")
            record = self._add(
                "CUSTOMER", CUSTOMERID=an_id, NAME=made.findtext("NAME"), STATUS="active"
            )
            shown = [element("CUSTOMERID", an_id), element("RECORDNO", record["RECORDNO"])]
            return _data("objects", [element("customer", *shown)])
        if not made.findtext("FINANCIALENTITY"):
            return ("BL01001973", "A financial entity is required", "")
        record = self._add("ARPYMT", CUSTOMERID=made.findtext("CUSTOMERID"))
        for detail in made.findall("ARPYMTDETAILS/ARPYMTDETAIL"):
            self._apply(detail)
        return _data("objects", [element("arpymt", element("RECORDNO", record["RECORDNO"]))])

    def _apply(self, detail: Any) -> None:
        """A credit memo lowers what is due on an invoice (api/accounts-receivable/ar-payments)."""
        amount = Decimal(detail.findtext("TRX_ADJUSTMENTAMOUNT"))
        for name, tag, sign in (
            ("ARINVOICE", "RECORDKEY", -1),
            ("ARADJUSTMENT", "ADJUSTMENTKEY", 1),
        ):
            for one in self.records[name]:
                if one["RECORDNO"] == detail.findtext(tag):
                    one["TRX_TOTALDUE"] = str(Decimal(one["TRX_TOTALDUE"]) + sign * amount)

    def _query(self, asked: Any) -> Any:
        """query (web-services/queries): filter, order, page, and the counts of the answer."""
        name, fields = asked.findtext("object"), [each.text for each in asked.find("select")]
        found = [dict(one) for one in self.records.get(name, [])]
        condition = asked.find("filter")
        if condition is not None:
            (given,) = condition
            values = [each.text or "" for each in given.findall("value")]
            of, operator = given.findtext("field"), OPERATORS[given.tag]
            found = [one for one in found if operator(one.get(of, ""), values)]
        for order in reversed(asked.findall("orderby/order")):
            by = order.findtext("field")
            found.sort(key=lambda one, by=by: (len(one[by]), one[by]))  # type: ignore[misc]
        size, at = int(asked.findtext("pagesize")), int(asked.findtext("offset"))
        page = found[at : at + size]
        shown = [
            element(name, *(element(each, one.get(each, "")) for each in fields)) for one in page
        ]
        return _data(name, shown, len(found) - at - len(page))

    def _add(self, name: str, **values: str) -> dict[str, str]:
        self._ticks += 1
        number = str(100 + sum(map(len, self.records.values())))
        hours, seconds = divmod(self._ticks, 3600)
        modified = f"04/01/2026 {hours:02d}:{seconds // 60:02d}:{seconds % 60:02d}"
        record = {"RECORDNO": number, "WHENMODIFIED": modified} | values
        self.records.setdefault(name, []).append(record)
        return record

    def pay(self, number: str, amount: str) -> dict[str, str]:
        """A person enters a payment of an invoice."""
        (invoice,) = [one for one in self.records["ARINVOICE"] if one["RECORDID"] == number]
        return self._add(
            "ARPYMTDETAIL",
            RECORDKEY=invoice["RECORDNO"],
            PAYMENTDATE="04/20/2026",
            TRX_PAYMENTAMOUNT=amount,
            CURRENCY="USD",
            STATE="C",
        )

    def change(self, record: dict[str, str], **values: str) -> None:
        """A person changes a record."""
        self._ticks += 1
        record |= {"WHENMODIFIED": f"04/02/2026 00:00:{self._ticks % 60:02d}"} | values

    def refusal(self, asked: Asked, *, in_200: bool) -> Reply:
        """A function that fails; HTTP has 200 always."""
        return self._reply(element("result"), ("BL01001973", "The period is closed", ""))

    def with_wrong_amount(self, asked: Asked) -> Reply:
        """A cent too much."""
        return self._answer(asked, Decimal("0.01"))


def _error(number: str, words: str, category: str = "") -> Any:
    """An error as web-services/requests shows it with showadditionalerrorinfo."""
    return element(
        "error",
        element("errorno", number),
        element("description"),
        element("description2", words),
        element("correction", "Correct it"),
        element("additionalinfo", element("category", category)) if category else None,
    )


def _data(name: str, shown: list[Any], more: int = 0) -> Any:
    counts = {"listtype": name, "count": str(len(shown)), "numremaining": str(more)}
    return element("result", element("data", *shown, **counts))
