"""Two tiers of tests. `make test` runs the quick one: of every parametrized test, members in which every value of every
parameter occurs, at most :data:`MANY`, and fewer or none of the tests in ``few.FEW``. `make test-all` runs everything.

A test that is new needs no thought: its parameters are thinned by the rule, and if it takes long, the summary says so.
"""

from __future__ import annotations

import os
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from few import FEW

ALL = "INTERTWINE_TEST_ALL"
TIMES = "INTERTWINE_TEST_TIMES"  # a file to write the seconds of CPU of each test to
BUDGET = 800  # seconds of CPU that the quick tier may take: two quiet cores are through in less than eight minutes
LONG = 5.0  # seconds of CPU from which on all the members of a test in one tier are listed at the end
LISTED = 60
MANY = 4  # members of a test in one file; of those beside this file, which look at each file of the package, all

#: Files whose tests take long begin first where everything runs, so that no core waits at the end for one of them.
FIRST = (
    "tests/tasks/test_tensor_form.py",
    "tests/e3nn/test_own_suite.py",
    "tests/test_wheel.py",
    "tests/test_gpu_check.py",
    "tests/training/test_nodes.py",
    "tests/cli/test_signals.py",
    "tests/cli/test_voxels.py",
    "tests/training/test_refinement.py",
    "tests/fuzz/test_fuzz.py",
    "tests/cli/test_train_tensors.py",
    "tests/cli/test_users_code.py",
)

#: folder of tests/ -> of a contract that many files there inherit, each of its tests runs in every so-manieth file.
CONTRACTS: dict[str, int] = {"models": 4}
INHERITED = 8  # files that have a test of the same name: more than chance


def is_quick(config: pytest.Config) -> bool:
    """Whether this is the quick tier: unless INTERTWINE_TEST_ALL is 1, where all tests are asked for. Files, folders or
    tests that are named run whole, unless INTERTWINE_TEST_ALL is 0.
    """
    if hasattr(config, "workerinput"):
        return config.workerinput["quick"]
    asked = os.environ.get(ALL, "")
    named = config.args_source == pytest.Config.ArgsSource.ARGS or config.option.keyword or config.option.markexpr
    return asked == "0" or (asked != "1" and not named)


def subject(path: str, test: str) -> str:
    """The key of a test in :data:`FEW`: tests/o3/test_a.py, test_c -> o3::test_c. It stays where a file is split."""
    parts = path.split("/")
    return f"{parts[1] if len(parts) > 2 else '.'}::{test}"


def place(nodeid: str) -> int:
    """The place of a test's file in :data:`FIRST`; those of all others are one behind the last."""
    path = nodeid.split("::")[0]
    return FIRST.index(path) if path in FIRST else len(FIRST)


def covering(members: list[pytest.Function]) -> list[pytest.Function]:
    """Members in which each value of each parameter occurs, the fewest that a greedy choice finds."""
    values = [set(enumerate(member.callspec._idlist)) if hasattr(member, "callspec") else set() for member in members]
    missing, chosen = set().union(*values), []
    while missing:
        best = max(range(len(members)), key=lambda k: (len(values[k] & missing), -k))
        chosen.append(best)
        missing -= values[best]
    return [members[k] for k in sorted(chosen)] or members


def spread(members: list[pytest.Function], count: int) -> list[pytest.Function]:
    """As many of them, first and last included, at even distances."""
    if count >= len(members):
        return members
    return [members[round(k * (len(members) - 1) / max(count - 1, 1))] for k in range(count)]


def quick(items: Iterable[pytest.Item]) -> set[str]:
    """Names of the tests of the quick tier."""
    families: dict[str, list[Any]] = defaultdict(list)
    for item in items:
        families[item.nodeid.split("[")[0]].append(item)
    tests: dict[tuple[str, str], list[Any]] = defaultdict(list)
    for name, members in families.items():
        tests[name.split("::")[0], name.split("::")[-1]] += covering(members)  # a contract's tests: one family a class
    idle = elsewhere(tests)
    chosen = (spread(members, limit(subject(*test))) for test, members in tests.items() if test not in idle)
    return {member.nodeid for members in chosen for member in members}


def elsewhere(tests: Iterable[tuple[str, str]]) -> set[tuple[str, str]]:
    """Files and tests of a contract that other files run: another quarter of the tests for each file."""
    files: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for test in sorted(tests):
        files[subject(*test)].append(test)
    contract = [key for key in sorted(files) if key.split("::")[0] in CONTRACTS and len(files[key]) >= INHERITED]
    return {
        test
        for rank, key in enumerate(contract)
        for number, test in enumerate(files[key])
        if (number + rank) % CONTRACTS[key.split("::")[0]]
    }


def limit(key: str) -> int:
    """How many members of a test in one file the quick tier runs at most."""
    return FEW.get(key, sys.maxsize if key.startswith(".::") else MANY)


def cpu() -> float:
    """Seconds of CPU of this process and its children that have ended."""
    return sum(os.times()[:4])


@dataclass(eq=False)  # plugins are hashed
class Tiers:
    """The plugin: thins the tests, and says at the end what was left out, what was skipped and what took long."""

    config: pytest.Config
    left_out: int = 0
    chosen: set[str] = field(default_factory=set)
    started: dict[str, float] = field(default_factory=dict)

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        node.workerinput["quick"] = is_quick(self.config)

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        self.chosen = quick(items)
        if is_quick(config):
            rest = [item for item in items if item.nodeid not in self.chosen]
            items[:] = [item for item in items if item.nodeid in self.chosen]
            self.left_out = len(rest)
            config.hook.pytest_deselected(items=rest)
        else:
            items.sort(key=lambda item: place(item.nodeid))

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        self.started[nodeid] = cpu()

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item: pytest.Item) -> Any:
        report = yield
        if report.when == "teardown":
            seconds = cpu() - self.started.pop(item.nodeid, cpu())
            report.user_properties = [("cpu", seconds), ("quick", item.nodeid in self.chosen), *report.user_properties]
        return report

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if hasattr(self.config, "workeroutput"):
            self.config.workeroutput["left_out"] = self.left_out

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        self.left_out = getattr(node, "workeroutput", {}).get("left_out", self.left_out)

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        stats, write = terminalreporter.stats, terminalreporter.write_line
        if skipped := list(skips(stats.get("skipped", []))):
            terminalreporter.section("skipped, and why")
        for line in skipped:
            write(line)
        ended = {r.nodeid: r for found in stats.values() for r in found if getattr(r, "when", "") == "teardown"}
        terminalreporter.section("where the time went")
        for line in costs({name: dict(report.user_properties) for name, report in ended.items()}):
            write(line)
        if path := os.environ.get(TIMES):
            lines = (f"{name}\t{dict(report.user_properties)['cpu']:.3f}\n" for name, report in ended.items())
            Path(path).write_text("".join(lines))
        if is_quick(self.config):
            write(f"The quick tier left {self.left_out} tests out (tests/tiers.py): `make test-all` runs them too.")


def costs(ended: dict[str, dict[str, Any]]) -> Iterable[str]:
    """The time of all tests and of those in the quick tier, and the tests of each tier that take most of it."""
    total: dict[bool, Counter[str]] = {True: Counter(), False: Counter()}
    count: Counter[tuple[bool, str]] = Counter()
    for name, given in ended.items():
        path, *names = name.split("[")[0].split("::")
        key, tier = subject(path, names[-1]), bool(given.get("quick"))
        total[tier][key] += given.get("cpu", 0.0)
        count[tier, key] += 1
    seconds, members = total[True].total(), sum(number for (tier, _), number in count.items() if tier)
    yield (
        f"{seconds + total[False].total():.0f} s of CPU in {len(ended)} tests; "
        f"in the {members} of the quick tier {seconds:.0f} of {BUDGET} s"
    )
    folders: Counter[str] = Counter()
    for key, value in total[True].items():
        folders[key.split("::")[0]] += value
    yield "quick, by folder: " + ", ".join(f"{name} {value:.0f} s" for name, value in folders.most_common())
    for tier, word in ((True, "quick"), (False, "the rest")):
        for key, value in total[tier].most_common(LISTED):
            if value >= LONG:
                yield f"{value:8.1f} s  {word}: {count[tier, key]} of {key}"


def skips(reports: Iterable[Any]) -> Iterable[str]:
    """Each reason with the number of tests that it skipped and the first file of them."""
    found: dict[str, list[str]] = defaultdict(list)
    for nodeid, reason in {
        (r.nodeid, r.longrepr[2] if isinstance(r.longrepr, tuple) else str(r.longrepr)) for r in reports
    }:
        found[reason.removeprefix("Skipped: ")].append(nodeid)
    for reason, nodes in sorted(found.items(), key=lambda pair: (-len(pair[1]), pair[0])):
        files = sorted({node.split("::")[0] for node in nodes})
        more = f" and {len(files) - 1} more files" if len(files) > 1 else ""
        yield f"{len(nodes):5d}  {reason}  ({files[0]}{more})"
