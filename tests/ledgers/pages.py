"""The tables in docs/ledgers: settings and abilities of each kind, from its own description.

`python -m tests.ledgers.pages` writes them.
"""

import re
from pathlib import Path

from services.arg_sync.ledgers.adapter import AdapterSpec
from services.arg_sync.ledgers.registry import adapter_specs, settings_of

FOLDER = Path(__file__).parents[2] / "docs" / "ledgers"
BEGIN, END = "<!-- made by tests.ledgers.pages -->", "<!-- end -->"


LINE_CODES = {"account": "an account", "item": "an item", "either": "an account or an item"}
NAMED = {":": "colon", "\t": "tab", "\r": "", "\n": "line end"}


def _at_most(length: int) -> str:
    return f"at most {length} characters, else refused" if length else "any length"


def _without(characters: str) -> str:
    names = [NAMED[each] for each in characters if NAMED[each]]
    return f"; no {', '.join(names)}" if names else ""


def _hosts(kind: AdapterSpec) -> str:
    if kind.name == "file-drop":
        return "any SFTP server at a public address with this host key; or a folder"
    return ", ".join(f"`{host}`" for host in kind.allowed_hosts) or "any, over https"


def table_of(kind: AdapterSpec) -> str:
    """What a page says about a kind's settings and abilities."""
    can = kind.capabilities
    rows = ["| setting | what it is | default |", "|---|---|---|"]
    for each in settings_of(kind):
        default = f"`{each.default}`" if each.default else "required" if each.required else "none"
        rows.append(
            f"| `{each.name}` | {each.words}{' (secret: sealed)' if each.secret else ''} |"
            f" {default} |"
        )
    limits = (
        ", ".join(
            f"{number:,} calls a {unit}"
            for number, unit in ((can.per_minute, "minute"), (can.per_day, "day"))
            if number
        )
        or "none of its own"
    )
    yes = {True: "yes", False: "no"}
    facts = [
        "",
        "| | |",
        "|---|---|",
        f"| needs | {kind.needs} |",
        f"| a line needs | {LINE_CODES[kind.line_code]} |",
        f"| our number | {_at_most(kind.number_length)} |",
        f"| a customer's name | {_at_most(kind.name_length)}{_without(kind.name_without)} |",
        f"| hosts | {_hosts(kind)} |",
        f"| the billing company's tax basis | {can.tax_basis} |",
        f"| a repeat with the same key makes nothing new | {yes[can.request_key]} |",
        f"| a number is taken once | {yes[can.unique_number]} |",
        f"| steps | {'create and post' if can.steps == 2 else 'create'}, up to {can.batch_max} a"
        " call |",
        f"| limit | {limits}; {can.concurrency} documents at once |",
        f"| we wait for an answer | {can.request_seconds:.0f} s |",
        f"| the server may still act after that | {can.server_seconds:.0f} s |",
    ]
    return "\n".join([BEGIN, *rows, *facts, END])


def page_with(text: str, kind: AdapterSpec) -> str:
    """The page with its table made anew."""
    return re.sub(
        f"{re.escape(BEGIN)}.*?{re.escape(END)}", lambda _: table_of(kind), text, flags=re.DOTALL
    )


if __name__ == "__main__":
    for name, kind in adapter_specs().items():
        page = FOLDER / f"{name}.md"
        if page.exists():
            page.write_text(page_with(page.read_text(encoding="utf-8"), kind), encoding="utf-8")
