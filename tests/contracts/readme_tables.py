"""The generated tables of the README: settings and topics, from the code that they describe.

`python -m tests.contracts.readme_tables` writes them between their markers; `test_readme.py` compares.
"""

from pathlib import Path

from shared.broker.topics import CONSUMED, FLOW
from shared.settings import Settings

README = Path(__file__).resolve().parents[2] / "README.md"


def settings_table() -> str:
    """One row a setting: environment variable, default, meaning."""
    rows = ["| variable | default | meaning |", "|---|---|---|"]
    for name, field in Settings.model_fields.items():
        default = "" if field.default in ("", None) else f"`{field.default}`"
        rows.append(f"| `BACKOFFICE_{name.upper()}` | {default} | {field.description} |")
    return "\n".join(rows)


def topics_table() -> str:
    """One row a topic: what it says, its key, how long it is kept, who hears it."""
    rows = ["| topic | says | key | kept | heard by |", "|---|---|---|---|---|"]
    for topic in FLOW:
        kept = (
            "the newest of each key"
            if topic.compacted
            else f"{topic.retention_ms // 86_400_000} days"
        )
        heard = (
            ", ".join(service for service, topics in CONSUMED.items() if topic in topics)
            or "anyone"
        )
        rows.append(f"| `{topic.name}` | {topic.description} | {topic.key} | {kept} | {heard} |")
    return "\n".join(rows)


TABLES = {"settings": settings_table, "topics": topics_table}


def with_tables(text: str) -> str:
    """The README with its tables as the code has them now."""
    for name, table in TABLES.items():
        before, begin, rest = text.partition(f"<!-- {name} -->")
        _, end, after = rest.partition(f"<!-- /{name} -->")
        if not begin or not end:
            raise ValueError(
                f"the README has no place for the table of {name}: put <!-- {name} --> and <!-- /{name} --> where it belongs"
            )
        text = f"{before}{begin}\n{table()}\n{end}{after}"
    return text


if __name__ == "__main__":
    README.write_text(with_tables(README.read_text(encoding="utf-8")), encoding="utf-8")
