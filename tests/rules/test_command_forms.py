"""The forms of the web console, made from the models of commands: nothing is lost on the way, and
only what was typed is sent.
"""

import json
from typing import Any, cast

import pytest
from starlette.datastructures import FormData

from services.console.actions.commands import MODELS
from services.console.web.forms.command_form import NO_FORM, form_of
from services.console.web.forms.fields import Unformable
from services.console.web.forms.view import FormView, read_was
from services.console.web.pages import Refusal
from tests.contracts.examples import COMMANDS, WHO

FORMABLE = sorted(set(MODELS) - set(NO_FORM))


def posted(texts: dict[str, list[str]]) -> FormData:
    """The texts as a browser sends them."""
    return FormData([(name, text) for name, found in texts.items() for text in found])


def sent(command: str, texts: dict[str, list[str]]) -> dict[str, Any]:
    """The fields of the command that a form with these texts sends."""
    form = form_of(command)
    return form.body(form.given(posted(texts)))


@pytest.mark.parametrize("command", FORMABLE)
def test_a_command_comes_out_of_its_form_as_it_went_in(command: str) -> None:
    """console 3, row 8: everything that a command can say, its form can say: the example of every
    command, filled into its form and sent, is the same command.
    """
    example = cast("dict[str, Any]", COMMANDS[command])
    body = {"command_id": "c", "actor": "kim"} | example | {"reason": WHO["reason"]}
    model = MODELS[command].model_validate_json(json.dumps(body, default=str))
    values = json.loads(model.model_dump_json())
    again = sent(command, form_of(command).texts(values))
    who = {"command_id": "c", "actor": "kim"}
    assert MODELS[command].model_validate_json(json.dumps(again | who)) == model


@pytest.mark.parametrize("command", sorted(NO_FORM))
def test_a_command_without_a_form_says_why(command: str) -> None:
    """Each exception has its reason."""
    with pytest.raises(Unformable, match=NO_FORM[command]):
        form_of(command)


def test_empty_rows_are_not_sent_and_the_others_move_up() -> None:
    """The second row of three is filled in: it is the only one, and its problem is shown there."""
    texts = {
        "billing_company": ["acme"],
        "taxes.0.tax_code": [""],
        "taxes.1.tax_code": [" VAT "],
        "taxes.1.percent": ["21"],
        "taxes.1.from_date": ["2026-01-01"],
        "taxes.2.percent": ["  "],
    }
    assert sent("set-billing-company", texts)["taxes"] == [
        {"tax_code": "VAT", "percent": "21", "from_date": "2026-01-01"}
    ]


def test_what_was_not_changed_stays() -> None:
    """Of a command that keeps what is left out only changes are sent; what was emptied is sent
    empty, and what is needed is always sent.
    """
    form = form_of("set-debtor-terms")
    current = {
        "billing_company": "acme",
        "account_name": "Client",
        "time_group": "W1",
        "payment_terms": "net:30",
        "emails": ["a@b.example", "c@d.example"],
        "attach": ["pdf"],
        "zero_documents": False,
    }
    was = read_was({"was": json.dumps(form.texts(current))})
    texts = form.texts(current) | {
        "payment_terms": ["net:14"],
        "time_group": [""],
        "emails": ["a@b.example"],
        "attach": [],
    }
    assert form.body(form.given(posted(texts)), was) == {
        "billing_company": "acme",
        "account_name": "Client",
        "payment_terms": "net:14",
        "time_group": "",
        "emails": ["a@b.example"],
        "attach": [],
    }


def test_each_problem_is_at_its_input() -> None:
    """The problem of a cell belongs to the cell, that of the whole command to none."""
    form = form_of("set-billing-company")
    texts = form.texts({"billing_company": "acme", "taxes": [{"tax_code": "VAT"}]})
    found = {"taxes.0.percent": "Field required", "payment_terms.literal['']": "no", "": "all"}
    view = FormView(form, texts, Refusal("form_unreadable", "", "", found))
    assert view.problem("taxes.0.percent") == "is needed"
    assert view.problem("payment_terms") == "no"
    assert view.problem("taxes") == ""
    assert [name for name, _, _ in view.problems] == ["taxes.0.percent", "payment_terms", ""]


def test_what_is_no_number_is_left_to_the_command() -> None:
    """A text that is no number is sent as it is, and the command says what is wrong with it."""
    typed = {"billing_company": ["acme"], "max_day_hours": ["many"], "series_width": [" 6 "]}
    body = sent("set-billing-company", typed)
    assert (body["max_day_hours"], body["series_width"]) == ("many", 6)
