"""Mutation score of the rules: `make mutants` changes them one by one and runs the fast tests.

mutmut changes a comparison, a sign, `and`, `or`, a number, an argument or an assigned value. Texts
and the arguments of refusals are left as they are: people read them. A change that no test sees
must be listed in `mutants.toml` with why it changes nothing.
"""

import sys
import tomllib
from collections import Counter
from pathlib import Path

REQUIRED_PERCENT = 95
FOR_PEOPLE = {"Refused", "Held"}
LISTED = Path(__file__).with_name("mutants.toml")
SEEN = ("killed", "timeout", "suspicious", "caught by type check")


def run() -> None:
    """Run mutmut in one process, without changes of texts."""
    import libcst
    from mutmut.__main__ import cli
    from mutmut.mutation import file_mutation, mutators

    mutators.mutation_operators[:] = [
        each for each in mutators.mutation_operators if each[0] is not libcst.BaseString
    ]
    file_mutation.NEVER_MUTATE_FUNCTION_CALLS.update(FOR_PEOPLE)
    cli(["run", "--max-children", "1"], standalone_mode=False)


def score() -> int:
    """Print the score and the changes that no test saw; return 1 if there are too many."""
    from mutmut.__main__ import SourceFileMutationData, status_by_exit_code, walk_source_files

    found: dict[str, tuple[Path, str]] = {}
    for path in walk_source_files():
        data = SourceFileMutationData(path=path)
        data.load()
        for name, code in data.exit_code_by_key.items():
            if status_by_exit_code[code] != "not checked":
                found[name] = (path, status_by_exit_code[code])
    listed = {
        (each["file"], each["change"]): each["why"]
        for each in tomllib.loads(LISTED.read_text())["equal"]
    }
    unlisted = 0
    unseen = sorted(name for name, (_, status) in found.items() if status not in SEEN)
    for name in unseen:
        path, status = found[name]
        before, change = change_of(name)
        why = listed.get((str(path), change))
        unlisted += why is None
        print(f"{path} {status}: {before} => {change}: {why or 'NOT LISTED'}")
    seen, counts = len(found) - len(unseen), Counter(status for _, status in found.values())
    percent = 100 * seen / len(found) if found else 0
    print(f"{seen:,} of {len(found):,} changes are seen: {percent:.1f} % {dict(counts)}")
    print(f"{unlisted:,} of the others are not in {LISTED.name}")
    return int(percent < REQUIRED_PERCENT or unlisted > 0)


def change_of(name: str) -> tuple[str, str]:
    """Return the lines that a change takes away and adds, each joined to one."""
    from mutmut.__main__ import get_diff_for_mutant

    lines = [line for line in get_diff_for_mutant(name).split("\n")[2:] if "def " not in line]
    before, after = (
        " ".join(line[1:].strip() for line in lines if line.startswith(sign)) for sign in "-+"
    )
    return before, after


if __name__ == "__main__":
    run()
    sys.exit(score())
