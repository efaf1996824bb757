"""Two tiers of tests. `make test` runs the quick one: of every parametrized test, members in which every value of every
parameter occurs, at most :data:`MANY`, and fewer or none of the tests in :data:`FEW`. `make test-all` runs everything.

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

ALL = "INTERTWINE_TEST_ALL"
TIMES = "INTERTWINE_TEST_TIMES"  # a file to write the seconds of CPU of each test to
BUDGET = 900  # seconds of CPU that the quick tier may take: two quiet cores are through in less than eight minutes
LONG = 5.0  # seconds of CPU from which on all the members of a test in one tier are listed at the end
LISTED = 60
MANY = 12  # members of a test in one file; of those beside this file, which look at each file of the package, all

#: folder of tests/ :: test -> how many members of it, in each file that has it, the quick tier runs: of tests that
#: prove by volume, or take long for what others of the quick tier show in part.
FEW: dict[str, int] = {
    # programs of others, GPUs, whole suites
    ".::test_when_everything_runs": 3,
    ".::test_the_dry_run_passes_with_only_the_packages_of_that_machine": 0,
    ".::test_the_wheel_has_the_package_and_nothing_else": 0,
    ".::test_the_sdist_has_what_the_wheel_is_made_of": 0,
    ".::test_the_wheel_says_what_pyproject_says": 0,
    ".::test_a_new_environment_trains_predicts_and_certifies": 0,
    ".::test_every_module_is_imported_without_an_extra": 0,
    ".::test_without_a_card_and_not_dry_every_part_says_so": 0,
    ".::test_the_first_force_field": 0,
    ".::test_the_page_on_lifting_holds": 0,
    "e3nn::test_e3nns_own_tests_pass_on_the_replacement": 0,
    "e3nn::test_any_leading_axes": 8,
    "e3nn::test_another_precision_is_served_or_refused": 8,
    "e3nn::test_other_sizes_are_refused": 8,
    "e3nn::test_training_and_evaluation": 2,
    "e3nn::test_files_of_older_versions": 1,
    "kernels::test_values_and_derivatives_are_those_of_the_reference": 1,
    # compilers
    "models::test_compiled": 0,
    "o3::test_compiled_whole": 8,
    "o3::test_exported": 12,
    "tasks::test_compiled_further": 0,
    "tasks::test_compiled_whole": 1,
    "tasks::test_exported": 1,
    "tasks::test_exported_in_single_precision": 0,
    "tasks::test_properties": 1,
    "tasks::test_tensors": 1,
    # the contract of models: each architecture has a file of its own
    "models::test_batch_equals_singles": 1,
    "models::test_certificate": 0,
    "models::test_papers_presets_certify": 2,
    "models::test_coincident_atoms": 1,
    "models::test_derivatives_in_positions": 1,
    "models::test_deterministic_and_leaves_its_input_alone": 1,
    "models::test_edges_in_any_order_and_memory_layout": 1,
    "models::test_equivariance": 1,
    "models::test_every_cell_is_what_is_measured": 8,
    "models::test_every_parameter_matters": 1,
    "models::test_far_from_the_origin": 1,
    "models::test_features_are_permuted": 1,
    "models::test_graphs_of_a_batch_do_not_see_each_other": 1,
    "models::test_graphs_with_nothing_in_them": 1,
    "models::test_its_group_is_kept": 1,
    "models::test_loops_over_orientations": 2,
    "models::test_permutation": 1,
    "models::test_says_what_it_is": 1,
    "models::test_single_precision_is_close_to_double": 1,
    "models::test_smooth_at_the_cutoff": 1,
    "models::test_state_is_complete": 1,
    "models::test_supercell": 1,
    "models::test_translation": 1,
    # every architecture: trained, certified and used on the command line
    "cli::test_certify_an_untrained_model": 0,
    "cli::test_certify_on_given_structures": 0,
    "cli::test_certify_without_the_runs_data": 0,
    "cli::test_train_certify_predict": 1,
    "cli::test_twenty_columns": 3,
    "cli::test_a_training_is_stopped_resumed_and_alone_in_its_folder": 0,
    "cli::test_a_signal_before_and_after_the_epochs": 0,
    "cli::test_two_at_once_into_one_folder": 0,
    "cli::test_a_name_on_the_line_runs_and_a_run_folder_must_be_allowed": 0,
    "cli::test_the_list_has_it_and_says_what_is_broken": 0,
    "cli::test_one_name_of_two_packages_is_refused": 0,
    "cli::test_certify_a_run": 0,
    "cli::test_shared_files": 2,
    "cli::test_predictions_for_a_folder_are_certified_and_those_of_its_files": 0,
    # certificates, each of hundreds of evaluations
    "certify::test_a_fault_between_nodes_is_found": 2,
    "certify::test_lost_digits_are_found": 1,
    "certify::test_models_pass": 1,
    "certify::test_one_bug_fails_its_lines": 1,
    "certify::test_only_a_named_error_leaves_a_structure_out": 0,
    "certify::test_particles_in_any_dimension": 1,
    "certify::test_what_is_between_nodes_passes": 0,
    "certify::test_chirality_is_no_fault_where_only_rotations_are_claimed": 0,
    "certify::test_noise_in_the_last_digit": 0,
    "certify::test_mlp_on_coordinates_breaks_permutations_too": 0,
    "certify::test_what_is_not_claimed_is_information": 0,
    "certify::test_a_large_constant_energy_hides_nothing_and_harms_nothing": 0,
    "certify::test_sound": 1,
    "certify::test_nodes_of_a_batch_in_any_order": 0,
    "certify::test_an_exception_is_a_line_not_a_crash": 0,
    "tasks::test_a_tensor_turns_with_the_molecule": 0,
    "tasks::test_a_vector_turns_with_the_molecule": 0,
    "tasks::test_certificate_of_a_crystal": 0,
    "tasks::test_equivariant_and_the_same_in_a_batch": 1,
    "tasks::test_points_of_space": 0,
    "tasks::test_fields_of_ones_own": 0,
    "bench::test_random_weights_tell_apart_what_theory_says": 1,
    "bench::test_memory_of_the_process": 0,
    "bench::test_a_process_that_fails_says_why": 0,
    "o3::test_against_e3nn": 12,
    "o3::test_derivatives_and_all_paths": 12,
    "o3::test_first_and_second_derivatives": 12,
    "o3::test_kernels_are_plain_torch": 6,
    "o3::test_oracle": 8,
    "o3::test_orthogonality_to_degree_20": 0,
    "groups::test_three_derivatives_of_rotation_vectors_are_right": 1,
    "o3::test_values_and_gradients": 24,
    "o3::test_compiled_and_exported": 0,
    "training::test_killed_ten_times_and_resumed_ends_with_the_same_bits": 0,
    "training::test_folds_never_seen_are_refined": 0,
    "training::test_two_machines_with_two_processes_each": 0,
    "training::test_two_that_others_start_are_one_with_twice_the_batch": 0,
    "training::test_another_number_than_was_started": 0,
    "training::test_what_fails_in_one_ends_all": 0,
    "training::test_two_processes_are_one_with_twice_the_batch": 0,
    "training::test_a_helper_that_dies_is_reported": 0,
    "training::test_interrupt_ends_the_helpers_too": 0,
    "training::test_the_first_step_is_finite": 2,
    "cli::test_names_that_are_no_text": 0,
    "cli::test_closed_streams_and_readers_that_have_enough": 0,
    "cli::test_standard_output_that_is_full_is_an_error": 0,
    "cli::test_a_certificate_in_two_precisions_is_certified_once": 0,
    "o3::test_what_is_not_imported": 2,
    "o3::test_compilers_see_one_operator": 0,
    "numerics::test_standard_output_is_written_in_its_order": 1,
    "kernels::test_random_plans": 1,
    "kernels::test_one_number_less_would_be_noticed": 2,
    "certify::test_a_box_costs_no_digits": 1,
    "cli::test_predictions_and_labels_of_units_are_both_evaluated_as_they_are": 1,
    "models::test_what_can_not_be_converted_is_named": 4,
    "training::test_damaged_baselines_are_refused": 1,
    "e3nn::test_launcher_passes_arguments_and_exit_code_and_replaces_e3nn_in_children": 1,
    "cli::test_every_ensemble_says_what_it_conserves": 2,
    "kernels::test_programs_keep_to_the_memory_that_they_state": 2,
    "nn::test_layers_commute_with_the_group": 6,
    "kernels::test_doors_are_closed": 1,
    "examples::test_predict_writes_all_rows": 1,
    "cli::test_polarizabilities_train_by_one_command": 0,
    "cli::test_the_users_code_leaves_the_document_alone": 0,
    "cli::test_helpers_end_with_the_first_process_and_the_other_way_round": 0,
    "cli::test_a_certificate_is_printed_where_it_can_not_be_stored": 0,
    "cli::test_units_of_the_run_hold_in_every_command": 0,
    "cli::test_a_run_folder_in_words": 0,
    "examples::test_report_has_the_task_s_own_lines_and_pictures": 1,
    "examples::test_certificate_passes_on_the_task_s_own_data": 1,
    "e3nn::test_energy_forces_and_gradients_are_those_on_e3nn": 0,
    "e3nn::test_the_lammps_model_of_mace": 0,
    "integrations::test_in_another_process": 1,
    "integrations::test_eight_threads_with_twenty_molecules_each": 1,
    "certify::test_pointnet_breaks_all_but_permutations": 0,
    "examples::test_evaluate_prints_errors_with_units": 1,
    "e3nn::test_potentials_of_mace": 0,
    "cli::test_a_run_folder_as_json": 0,
    "cli::test_a_killed_worker_of_the_loader_is_named": 0,
    "kernels::test_a_fault_in_any_coefficient_is_found": 1,
    "nn::test_travels": 4,
    "e3nn::test_a_deployed_program": 0,
    "cli::test_what_we_write_is_read_as_it_is": 2,
    "kernels::test_plain_torch_takes_over_and_says_so_once": 1,
}


#: folder of tests/ -> of a contract that many files there inherit, each of its tests runs in every so-manieth file.
CONTRACTS: dict[str, int] = {"models": 3}
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
    """Files and tests of a contract that other files run: another third of the tests for each file."""
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
