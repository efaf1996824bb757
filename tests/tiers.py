"""Two tiers of tests. `make test` runs the quick one: of every parametrized test, members in which every value of every
parameter occurs, and fewer or none of the tests in :data:`FEW`. `make test-all` runs everything.

A test that is new needs no thought: its parameters are thinned by the rule, and if it takes long, the summary says so.
"""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import pytest

ALL = "INTERTWINE_TEST_ALL"
LONG = 5.0  # seconds of CPU from which on a quick test is listed
LISTED = 10

#: folder of tests/ :: test -> how many members of it, of each class that has it, the quick tier runs. None of a test
#: that proves by volume or takes long for what others of the quick tier show in part.
FEW: dict[str, int] = {}


def is_quick(config: pytest.Config) -> bool:
    """Whether this is the quick tier: unless INTERTWINE_TEST_ALL is 1, where all tests are asked for. Files, folders or
    tests that are named run whole, unless INTERTWINE_TEST_ALL is 0.
    """
    if hasattr(config, "workerinput"):
        return config.workerinput["quick"]
    asked = os.environ.get(ALL, "")
    named = config.args_source == pytest.Config.ArgsSource.ARGS or config.option.keyword or config.option.markexpr
    return asked == "0" or (asked != "1" and not named)


def subject(nodeid: str) -> str:
    """The key of a test in :data:`FEW`: tests/o3/test_a.py::TestB::test_c[d] -> o3::test_c. Files may be split."""
    path, *names = nodeid.split("[")[0].split("::")
    parts = path.split("/")
    return f"{parts[1] if len(parts) > 2 else '.'}::{names[-1]}"


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
    chosen = (spread(covering(members), FEW.get(subject(name), len(members))) for name, members in families.items())
    return {member.nodeid for members in chosen for member in members}


def cpu() -> float:
    """Seconds of CPU of this process and its children that have ended."""
    return sum(os.times()[:4])


@dataclass
class Tiers:
    """The plugin: thins the tests, and says at the end what was left out, what was skipped and what took long."""

    config: pytest.Config
    left_out: int = 0
    started: dict[str, float] = field(default_factory=dict)

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        node.workerinput["quick"] = is_quick(self.config)

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        if not is_quick(config):
            return
        chosen = quick(items)
        rest = [item for item in items if item.nodeid not in chosen]
        items[:] = [item for item in items if item.nodeid in chosen]
        self.left_out = len(rest)
        config.hook.pytest_deselected(items=rest)

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        self.started[nodeid] = cpu()

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item: pytest.Item) -> Any:
        report = yield
        if report.when == "teardown":
            report.user_properties = [*report.user_properties, ("cpu", cpu() - self.started.pop(item.nodeid, cpu()))]
        return report

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if hasattr(self.config, "workeroutput"):
            self.config.workeroutput["left_out"] = self.left_out

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        self.left_out = getattr(node, "workeroutput", {}).get("left_out", self.left_out)

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        reports = {
            (r.nodeid, r.when): r for found in terminalreporter.stats.values() for r in found if hasattr(r, "when")
        }
        write = terminalreporter.write_line
        if skipped := list(skips(terminalreporter.stats.get("skipped", []))):
            terminalreporter.section("skipped, and why")
        for line in skipped:
            write(line)
        costs = Counter(
            {name: dict(r.user_properties).get("cpu", 0.0) for (name, when), r in reports.items() if when == "teardown"}
        )
        terminalreporter.section("where the time went")
        write(f"{sum(costs.values()):.0f} s of CPU in {len(costs)} tests; the longest:")
        for name, seconds in costs.most_common(LISTED):
            if seconds >= LONG:
                write(f"{seconds:7.1f} s  {name}")
        if is_quick(self.config):
            write(f"The quick tier left {self.left_out} tests out (tests/tiers.py): `make test-all` runs them too.")


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
