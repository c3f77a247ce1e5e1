"""Mutation score of the rules: `make mutants` changes them one by one and runs the fast tests.

mutmut makes the changes, in functions and properties: a comparison, a sign, `and`, `or`, `not`,
`in`, `is`, a number, `True`, the branch that a condition takes, `min` and `max`, `any` and `all`, a
sort key. Texts and the arguments of refusals are left as they are, because people read them; so are
arguments and assigned values as a whole, because their loss is an error that any test sees. Tables
of a module and SQL are not changed. Of the fast tests only those run that call the changed
function, the quickest first.

A change that no test sees must be listed in `mutants.toml` with why it changes nothing. The result
is kept in `mutants/`: what a test saw is not run again while its function stays as it is (`make
clean` forgets it), what no test saw is. `make mutants ARGS=services/invoicer/credits` takes the
files whose paths begin so; `ARGS=--score` prints the last result.
"""

import argparse
import itertools
import os
import re
import sys
import tomllib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hypothesis
import libcst as cst
from mutmut import __main__ as mutmut
from mutmut.configuration import config
from mutmut.mutation import file_mutation, mutators
from mutmut.workers import isolation

REQUIRED_PERCENT = 95
PROCESSES = 2
FOR_PEOPLE = {"Refused", "Held"}
LISTED = Path(__file__).with_name("mutants.toml")
SEEN = ("killed", "timeout", "suspicious", "caught by type check")
RULES_USED = re.compile(r"\.rules\b|shared\.(money|calendar)\b")
OPPOSITES = {"min": "max", "max": "min", "any": "all", "all": "any"}
ORDER = cst.LessThan | cst.LessThanEqual | cst.GreaterThan | cst.GreaterThanEqual
LEFT_OUT = {
    mutators.operator_string,
    mutators.operator_dict_arguments,
    mutators.operator_arg_removal,
    mutators.operator_assignment,
}


def opposite_function(node: cst.Call) -> Iterator[cst.Call]:
    """Change `min(...)` to `max(...)`, `any(...)` to `all(...)` and back."""
    if isinstance(node.func, cst.Name) and node.func.value in OPPOSITES:
        yield node.with_changes(func=cst.Name(OPPOSITES[node.func.value]))


def negated_condition(node: cst.If | cst.CompIf) -> Iterator[cst.CSTNode]:
    """Negate a condition; mutmut does so itself where it changes `==`, `in`, `is` or `not`."""
    test = node.test
    if isinstance(test, cst.Comparison):
        negates = isinstance(test.comparisons[0].operator, ORDER)
    else:
        negates = not isinstance(test, cst.UnaryOperation | cst.BooleanOperation)
    if negates:
        inside = test.with_changes(lpar=[cst.LeftParen()], rpar=[cst.RightParen()])
        yield node.with_changes(test=cst.UnaryOperation(cst.Not(), inside))


class PlainDecorators(cst.CSTTransformer):
    """Write `@property def f` as `def f; f = property(f)`: mutmut skips decorated functions.

    A cache is taken away: it would give what it remembers of the unchanged function.
    """

    def leave_FunctionDef(  # noqa: N802
        self, original_node: cst.FunctionDef, updated_node: cst.FunctionDef
    ) -> Any:
        names = [cst.Module([]).code_for_node(each.decorator) for each in updated_node.decorators]
        if not names or {"staticmethod", "classmethod", "overload"} & set(names):
            return updated_node
        name = updated_node.name.value
        value = name
        for decorator in reversed([each for each in names if "cache" not in each]):
            value = f"{decorator}({value})"
        plain = updated_node.with_changes(decorators=[])
        if value == name:
            return plain
        return cst.FlattenSentinel([plain, cst.parse_statement(f"{name} = {value}")])


def fast_tests() -> list[str]:
    """Return the files of the fast tests that call rules; rendering is slow and decides nothing."""
    return [
        str(path)
        for path in sorted(Path("tests/rules").glob("test_*.py"))
        if RULES_USED.search(path.read_text()) and "render" not in path.name
    ]


def prepare() -> None:
    """Choose what mutmut changes and which tests it runs."""
    config().pytest_add_cli_args_test_selection = fast_tests()
    mutators.mutation_operators[:] = [
        *(each for each in mutators.mutation_operators if each[1] not in LEFT_OUT),
        (cst.Call, opposite_function),
        (cst.If, negated_condition),
        (cst.CompIf, negated_condition),
    ]
    file_mutation.NEVER_MUTATE_FUNCTION_CALLS.update(FOR_PEOPLE)
    mutate = file_mutation.mutate_file_contents

    def mutate_decorated_too(filename: str, code: str, *args: Any) -> Any:
        return mutate(filename, cst.parse_module(code).visit(PlainDecorators()).code, *args)

    mutmut.mutate_file_contents = mutate_decorated_too
    # Seconds of the processor limit a run, not those of the clock: the machine may be busy.
    isolation.register_timeout = lambda pid, timeout_s: None
    # A failing example is enough; the shortest one would take long to find.
    phases = (hypothesis.Phase.explicit, hypothesis.Phase.generate)
    ci = hypothesis.settings.get_profile("ci")
    hypothesis.settings.register_profile("mutants", ci, phases=phases)


def choose(paths: list[str]) -> None:
    """Run the changes below the paths that no test has seen yet."""
    collect = mutmut.collect_source_file_mutation_data

    def collect_chosen(*, mutant_names: Any) -> Any:
        mutants, by_path = collect(mutant_names=mutant_names)
        chosen = [
            (data, name, code if status_of(code) in SEEN else None)
            for data, name, code in mutants
            if str(data.path).startswith(tuple(paths))
        ]
        return chosen, by_path

    mutmut.collect_source_file_mutation_data = collect_chosen


def status_of(code: int | None) -> str:
    """Return mutmut's word for the exit code of a run."""
    return str(mutmut.status_by_exit_code[code])


def score(paths: list[str]) -> int:
    """Print the score and the changes that no test saw; return 1 if there are too many."""
    found: dict[str, tuple[Path, str]] = {}
    for path in mutmut.walk_mutatable_files():
        data = mutmut.SourceFileMutationData(path=path)
        data.load()
        if str(path).startswith(tuple(paths)):
            for name, code in data.exit_code_by_key.items():
                found[name] = (path, status_of(code))
    listed = tomllib.loads(LISTED.read_text())
    unlisted = 0
    unseen = sorted(name for name, (_, status) in found.items() if status not in SEEN)
    for name in unseen:
        path, status = found[name]
        before, change = change_of(name, path)
        why = why_equal(listed, str(path), change)
        unlisted += why is None
        print(f"{path} {status}: {before} => {change}: {why or 'NOT LISTED'}")
    seen, counts = len(found) - len(unseen), Counter(status for _, status in found.values())
    percent = 100 * seen / len(found) if found else 0
    print(f"{seen:,} of {len(found):,} changes are seen: {percent:.1f} % {dict(counts)}")
    print(f"{unlisted:,} of the others are not in {LISTED.name}")
    return int(percent < REQUIRED_PERCENT or unlisted > 0)


def why_equal(listed: dict[str, Any], path: str, change: str) -> str | None:
    """Return the listed reason why a change changes nothing."""
    exact = (
        one["why"] for one in listed["equal"] if (one["file"], one["change"]) == (path, change)
    )
    kinds = (one["why"] for one in listed["kind"] if one["holds"] in change)
    return next(itertools.chain(exact, kinds), None)


def change_of(name: str, path: Path) -> tuple[str, str]:
    """Return the lines that a change takes away and adds, each joined to one."""
    diff = mutmut.get_diff_for_mutant(name, path=path)
    lines = diff.split("\n")[2:]
    before, after = (
        " ".join(line[1:].strip() for line in lines if line.startswith(sign)) for sign in "-+"
    )
    return before, after


def main() -> int:
    """Run and report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("paths", nargs="*", default=[""])
    parser.add_argument("--score", action="store_true", help="print the last score, run nothing")
    options = parser.parse_args()
    prepare()
    if not options.score:
        os.nice(19)
        choose(options.paths)
        Path("mutants/mutmut-stats.json").unlink(missing_ok=True)
        mutmut._run((), PROCESSES)
    return score(options.paths)


if __name__ == "__main__":
    sys.exit(main())
