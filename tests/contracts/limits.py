"""The limits of everything that comes in, from the constants that enforce them.

`docs/reference/limits.md` is made from this table. Each row names a test that goes beyond the
limit.
"""

import sys
from typing import NamedTuple

from aiosmtplib import protocol as mail_answers

from services.arg_sync.connections import rules as connections
from services.arg_sync.ledgers import (
    column_files,
    drop_reads,
    failures,
    folders,
    http_client,
    oauth,
    quickbooks,
    registry,
    xero,
)
from services.arg_sync.mail import rules as mail
from services.arg_sync.payments.handlers import webhooks
from services.console.actions import record_keys
from services.console.importing import bounces, csv_rows, dialect, plan
from shared import json_text, reminders, sealing
from shared import settings as environment
from shared.consumer import commands, unpacking, upstream
from shared.events import field_types
from shared.events.commands import settings as debtor_settings
from shared.render import layout
from shared.settings import Settings

MIB = 1 << 20
MOST = "tests/contracts/test_limits.py"
FIELD_TOO_LONG = f"{MOST}::test_a_field_of_one_character_more_is_unreadable"
REJECTED = "tests/rules/test_rejections.py"
KINDS = f"{REJECTED}::test_each_unreadable_record_has_its_own_code_and_a_helpful_message"
UNPACKED = "tests/rules/test_unpacking.py"
HOSTILE = "tests/rules/test_hostile_inputs.py"
ANSWERS = "tests/ledgers/test_hostile_answers.py"
WIRE = "tests/ledgers/test_wire.py"
DROPS = "tests/ledgers/test_drop_files.py"
HOOKS = "tests/handlers/test_arg_sync_webhooks.py::test_anything_else_asks_for_nothing"
DEAD_LETTER = "dead letter"
DEFAULTS = Settings()


class Limit(NamedTuple):
    """What comes in, what is limited, the value, what happens beyond it, the test."""

    of: str
    what: str
    value: str
    beyond: str
    test: str


def number(value: float, unit: str = "") -> str:
    """The number with separators, and its unit."""
    text = f"{value:,.0f}" if float(value).is_integer() else f"{value:,}"
    return f"{text} {unit}".strip()


RECORDS, FIELDS, COMMANDS = "Kafka record", "fields of a message", "command"
LEDGER, WEBHOOK, CSV = "answer of an accounting system", "webhook", "CSV file of an import"
DROP = "file of the other side of a file drop"
LAYOUT = "layout of a CSV"
JSON, ENVIRONMENT, BOX = "JSON file of the CLI", "environment", "sealed box"

LIMITS: tuple[Limit, ...] = (
    Limit(
        RECORDS,
        "bytes on the broker",
        number(field_types.MESSAGE_BYTES + 100_000),
        "the broker refuses it",
        "tests/system/test_bad_messages.py::test_the_broker_refuses_five_megabytes",
    ),
    Limit(
        RECORDS,
        "bytes of the value",
        number(field_types.MESSAGE_BYTES),
        DEAD_LETTER,
        f"{MOST}::test_a_value_of_one_byte_more_is_unreadable",
    ),
    Limit(
        RECORDS,
        "MiB that a batch unpacks to",
        number(unpacking.MAX_UNPACKED_BYTES / MIB),
        "the partition stops, and no other",
        f"{UNPACKED}::test_there_is_a_limit",
    ),
    Limit(
        RECORDS,
        "MiB of a batch that is kept whole; a record of a larger one has a limit of its own",
        f"{number(unpacking.WHOLE_BYTES / MIB)}; {number(unpacking.RECORD_BYTES)} bytes",
        f"{DEAD_LETTER} with the first {number(unpacking.KEPT_BYTES)} bytes",
        f"{UNPACKED}::test_an_oversized_record_is_not_kept_whole",
    ),
    Limit(
        RECORDS,
        "MiB of a window of zstd; ratio of a snappy block",
        f"{number((1 << unpacking.ZSTD_WINDOW_LOG_MAX) / MIB)};"
        f" {number(unpacking.SNAPPY_RATIO)} to 1",
        "the partition stops",
        f"{UNPACKED}::test_a_zstd_window_of_any_size_is_refused",
    ),
    Limit(
        RECORDS,
        "length of a batch: not negative, not beyond what was fetched",
        "",
        "the partition stops",
        f"{HOSTILE}::test_a_record_batch_of_negative_length_is_undecodable",
    ),
    Limit(
        RECORDS,
        "MiB of keys and values that one poll takes from a partition",
        number(upstream.FETCHED_BYTES / MIB),
        "the next poll takes the rest",
        f"{UNPACKED}::test_a_large_batch_of_small_records_is_read_record_by_record",
    ),
    Limit(
        RECORDS,
        "bytes of key, of value and of headers in a dead letter",
        number(unpacking.KEPT_BYTES),
        "cut, with length and SHA-256 of the whole value",
        f"{UNPACKED}::test_an_oversized_record_is_not_kept_whole",
    ),
    Limit(
        RECORDS,
        "unreadable ones in a row",
        number(DEFAULTS.bad_records_limit),
        "the consumer pauses and looks again later",
        "tests/system/test_bad_messages.py"
        "::test_a_bad_deployment_does_not_empty_a_topic_into_the_dead_letters",
    ),
    Limit(
        RECORDS, "levels of JSON", number(json_text.JSON_DEPTH), f"{DEAD_LETTER} `too_deep`", KINDS
    ),
    Limit(
        RECORDS,
        "digits of a JSON number",
        number(sys.get_int_max_str_digits()),
        f"{DEAD_LETTER} `number_too_long`",
        KINDS,
    ),
    Limit(
        RECORDS,
        "size of a JSON number; NaN and infinity",
        "that of a double",
        f"{DEAD_LETTER} `number_too_large`, `not_a_number`, `infinite`",
        f"{HOSTILE}::test_a_number_that_becomes_infinite_is_rejected",
    ),
    Limit(RECORDS, "times that an object has a key", "1", f"{DEAD_LETTER} `duplicate_key`", KINDS),
    Limit(
        RECORDS,
        "NUL, control characters, lone surrogates",
        "none",
        f"{DEAD_LETTER}, by its code",
        KINDS,
    ),
    Limit(
        FIELDS,
        "characters of an id",
        number(field_types.ID_LENGTH),
        DEAD_LETTER,
        FIELD_TOO_LONG,
    ),
    Limit(
        FIELDS,
        "characters of a name",
        number(2 * field_types.ID_LENGTH),
        DEAD_LETTER,
        FIELD_TOO_LONG,
    ),
    Limit(
        FIELDS,
        "characters of a text",
        number(field_types.TEXT_LENGTH),
        DEAD_LETTER,
        FIELD_TOO_LONG,
    ),
    Limit(
        FIELDS,
        "every text, list and number of a message that others send",
        "see the schemas",
        DEAD_LETTER,
        "tests/contracts/test_limits.py::test_every_field_from_outside_has_a_limit",
    ),
    Limit(
        FIELDS,
        "dates",
        f"{field_types.FIRST_DATE} to {field_types.LAST_DATE}",
        DEAD_LETTER,
        KINDS,
    ),
    Limit(
        COMMANDS,
        "bytes; fields, as above",
        number(field_types.MESSAGE_BYTES),
        "refused",
        "tests/handlers/test_protocol_extreme_commands.py::test_no_command_stops_a_worker",
    ),
    Limit(
        COMMANDS,
        "findings of a result; bytes of a result",
        f"{number(commands.MAX_FINDINGS)}; {number(field_types.MESSAGE_BYTES)}",
        "the longest details are left out",
        "tests/handlers/test_protocol_extreme_commands.py"
        "::test_an_answer_longer_than_a_message_stops_no_worker",
    ),
    Limit(
        BOX,
        "characters of a box",
        number(field_types.SEALED_LENGTH),
        "refused",
        f"{MOST}::test_a_sealed_box_of_one_character_more_is_refused",
    ),
    Limit(
        BOX,
        "content",
        "one JSON object of texts",
        "refused `not_a_sealed_box`",
        f"{HOSTILE}::test_a_sealed_box_of_anything_is_refused",
    ),
    Limit(
        "file of the private key",
        "keys",
        number(sealing.MAX_KEYS),
        "reported, no secret is opened",
        "tests/handlers/test_arg_sync_key_rotation.py::test_a_file_of_too_many_keys_is_refused",
    ),
    Limit(
        DROP,
        "MiB",
        number(folders.FILE_BYTES / MIB),
        "failure `file_too_large`, the file is not read",
        f"{DROPS}::test_files_beyond_the_limits_are_not_read",
    ),
    Limit(
        DROP,
        "rows",
        number(column_files.MAX_ROWS),
        "failure `file_unreadable`, nothing of it is booked",
        f"{DROPS}::test_files_beyond_the_limits_are_not_read",
    ),
    Limit(
        LAYOUT,
        "bytes",
        number(layout.MOST_BYTES),
        "refused `bad_layout`, the file is not read",
        "tests/rules/test_render_layout.py::test_a_layout_has_limits",
    ),
    Limit(
        LAYOUT,
        "columns",
        number(layout.MOST_COLUMNS),
        "refused `bad_layout`",
        "tests/rules/test_render_layout.py::test_a_layout_has_limits",
    ),
    Limit(
        DROP,
        "files of a folder",
        number(drop_reads.MOST_FILES),
        "failure `too_many_files`",
        f"{DROPS}::test_files_beyond_the_limits_are_not_read",
    ),
    Limit(
        LEDGER,
        "MiB, also after decompression",
        number(http_client.RESPONSE_BYTES / MIB),
        "failure `response_too_large`",
        f"{WIRE}::test_an_answer_is_not_read_without_end",
    ),
    Limit(
        LEDGER,
        "seconds to connect; to the last byte (a setting of the connection)",
        f"{number(http_client.CONNECT_SECONDS)}; at most {number(registry.MAX_SECONDS)}",
        "failure `timeout`",
        f"{WIRE}::test_bytes_that_trickle_do_not_hold_it",
    ),
    Limit(LEDGER, "redirects", "0", "failure `redirect`", f"{WIRE}::test_no_redirect_is_followed"),
    Limit(
        LEDGER,
        "levels of JSON",
        number(json_text.JSON_DEPTH),
        "failure `unreadable`",
        f"{ANSWERS}::test_json_that_is_no_number_or_too_deep_is_unreadable",
    ),
    Limit(
        LEDGER,
        "digits of an amount before the point; after it",
        f"{json_text.WHOLE_DIGITS}; {json_text.DECIMAL_DIGITS}",
        "failure `unreadable`",
        f"{ANSWERS}::test_an_amount_is_a_finite_number_of_bounded_length",
    ),
    Limit(
        LEDGER,
        "pages of payments in one poll",
        f"{quickbooks.PAGES_AT_ONCE} to {xero.PAGES_AT_ONCE}",
        "the next poll goes on",
        "tests/ledgers/test_paging.py",
    ),
    Limit(
        LEDGER,
        "characters of a quoted body; of a message",
        f"{number(http_client.QUOTED_LENGTH)}; {number(failures.MESSAGE_LENGTH)}",
        "cut; an answer that may hold tokens is never quoted",
        f"{ANSWERS}::test_an_answer_with_tokens_is_never_quoted",
    ),
    Limit(
        LEDGER,
        "seconds of `Retry-After`",
        number(connections.MAX_RETRY_AFTER_SECONDS),
        "an hour",
        f"{WIRE}::test_retry_after_in_seconds_and_as_a_date",
    ),
    Limit(
        LEDGER,
        "characters of a token, all of visible ASCII",
        number(oauth.TOKEN_LENGTH),
        "failure `unreadable`",
        f"{ANSWERS}::test_a_token_that_no_header_can_hold_is_no_token",
    ),
    Limit(
        LEDGER,
        "days that a token lives",
        number(oauth.MAX_TOKEN_SECONDS / 86_400),
        "counts as an hour",
        f"{ANSWERS}::test_a_life_of_a_token_that_is_nonsense_counts_as_an_hour",
    ),
    Limit(WEBHOOK, "bytes of the body", number(webhooks.BODY_BYTES), "413", HOOKS),
    Limit(WEBHOOK, "seconds to the last byte", number(webhooks.BODY_SECONDS), "408", HOOKS),
    Limit(
        CSV,
        "bytes",
        number(dialect.FILE_BYTES),
        "exit 1, with the reason",
        f"{HOSTILE}::test_a_csv_file_has_a_limit",
    ),
    Limit(
        CSV,
        "characters of a cell",
        number(csv_rows.CELL_LENGTH),
        "named by file and line",
        "tests/rules/test_hostile_inputs.py::test_a_cell_has_a_limit",
    ),
    Limit(
        CSV,
        "rows of a timesheet; rates of a requirement; bytes of a document",
        f"{number(plan.MAX_ENTRIES)}; {number(plan.MAX_RATES)};"
        f" {number(field_types.MESSAGE_BYTES)}",
        "named by file and line",
        "tests/rules/test_import.py::test_what_is_wrong_is_named_by_file_line_and_column",
    ),
    Limit(
        CSV,
        "problems that are shown",
        number(csv_rows.SHOWN_PROBLEMS),
        "all are counted",
        "tests/rules/test_import.py"
        "::test_all_that_is_wrong_is_counted_and_the_first_fifty_are_shown",
    ),
    Limit(
        "e-mail address",
        "characters; addresses of a debtor",
        f"{number(field_types.ADDRESS_LENGTH)}; {number(debtor_settings.ADDRESSES_AT_MOST)}",
        "refused",
        "tests/rules/test_mail.py::test_an_address_is_one_that_every_server_takes",
    ),
    Limit(
        "reminders",
        "stages; invoices of an e-mail",
        f"{number(reminders.STAGES_AT_MOST)}; {number(mail.INVOICES_AT_MOST)}",
        "refused; more e-mails",
        "tests/handlers/test_reminders.py::test_many_invoices_are_in_several_emails",
    ),
    Limit(
        "answer of a mail server",
        "bytes",
        number(mail_answers.MAX_RESPONSE_LENGTH),
        "the session ends; after the end of a message: `unknown`",
        "tests/handlers/test_mail_sending.py::test_an_answer_without_end_is_not_read",
    ),
    Limit(
        "mailbox of bounces",
        "messages; MiB of a message; characters of a reason",
        f"{number(bounces.MESSAGES_AT_MOST)}; {number(bounces.MESSAGE_BYTES / MIB)};"
        f" {number(bounces.TEXT_LENGTH)}",
        "exit 1; the message is passed over; cut",
        "tests/rules/test_mail.py::test_a_mailbox_of_anything_is_read",
    ),
    Limit(
        JSON,
        "bytes; levels; times of a key",
        f"{number(field_types.MESSAGE_BYTES)}; {number(json_text.JSON_DEPTH)}; 1",
        "exit 2, with the reason",
        f"{HOSTILE}::test_a_json_file_is_read_strictly",
    ),
    Limit(
        "file of `backoffice publish`",
        "bytes of a line",
        number(record_keys.LINE_BYTES),
        "exit 1, with the line",
        f"{HOSTILE}::test_a_line_of_a_published_file_has_a_limit",
    ),
    Limit(
        "option of the CLI",
        "digits of a decimal before the point; after it",
        f"{json_text.WHOLE_DIGITS}; {json_text.DECIMAL_DIGITS}",
        "exit 2, with the reason",
        f"{HOSTILE}::test_a_decimal_option_is_finite_and_short",
    ),
    Limit(
        ENVIRONMENT,
        "a number",
        f"0 to {number(environment.MAX_NUMBER)}",
        "the program says which setting, and ends",
        f"{HOSTILE}::test_a_setting_is_a_number_in_a_range",
    ),
)
