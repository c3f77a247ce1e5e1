"""Fuzzing of everything that reads what others wrote: `make fuzz SECONDS=300` (atheris).

Each target is a module with `run(data)`: it gives bytes to a reader and requires a value or a clear
refusal, never another error. Time and memory of one input are limited by the fuzzer. The files in
`corpus/<target>` are where it starts; the fast tests run them, too.
"""

TARGETS = (
    "messages",
    "commands",
    "record_batches",
    "answers",
    "webhooks",
    "csv_files",
    "dropped_files",
    "settings_files",
    "sealed_boxes",
)
