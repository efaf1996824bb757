"""What the quick tier runs few members of, or none: the tables of tests/tiers.py.

They prove by volume, take long for what others of the quick tier show in part, or start processes, trainings, compilers
and programs of others. `make test-all` runs all of them.
"""

from __future__ import annotations

from thinned import SOME

#: Folder of tests/ -> tests that the quick tier leaves out.
NONE: dict[str, str] = {
    ".": """
        test_a_disk_that_fills_during_training_loses_no_epoch test_a_new_environment_trains_predicts_and_certifies
        test_dir_lists_every_subpackage_and_imports_none test_energy_in_comment
        test_every_module_is_imported_without_an_extra test_isolated_atoms test_molecules_and_crystals
        test_the_dry_run_passes_with_only_the_packages_of_that_machine test_the_first_force_field
        test_the_group_of_extending_trains_and_is_certified test_the_message_of_the_page_is_that_of_the_program
        test_the_network_of_extending_is_made_equivariant_by_every_wrapper test_the_page_holds
        test_the_page_on_averaging_holds test_the_page_on_electrons_holds test_the_page_on_lifting_holds
        test_the_page_on_spectra_is_true test_the_sdist_has_what_the_wheel_is_made_of
        test_the_table_names_tests_that_are test_the_table_thins_a_family_further
        test_the_task_and_the_data_set_of_extending_train test_the_wheel_has_the_package_and_nothing_else
        test_the_wheel_says_what_pyproject_says test_what_is_skipped_can_be_absent
        test_without_a_card_and_not_dry_every_part_says_so
    """,
    "bench": """
        test_a_process_that_fails_says_why test_memory_of_the_process test_peers_of_harmonics_and_contraction_agree
        test_peers_of_the_convolution_agree test_the_published_pairs_are_congruent_by_a_rotation
    """,
    "certify": """
        test_a_box_costs_no_digits test_a_large_constant_energy_hides_nothing_and_harms_nothing
        test_a_point_group_is_tested_and_the_larger_one_is_information test_a_precision_that_is_not_supported_is_skipped
        test_an_exception_is_a_line_not_a_crash test_assert_equivariant_shows_the_table
        test_chirality_is_no_fault_where_only_rotations_are_claimed test_file_round_trip
        test_forces_that_derive_from_no_energy test_in_distribution test_lines_of_what_is_trivial_say_so
        test_mlp_on_coordinates_breaks_permutations_too test_models_pass test_networks_of_images
        test_nodes_of_a_batch_in_any_order test_noise_in_the_last_digit test_one_bug_fails_its_lines
        test_only_a_named_error_leaves_a_structure_out test_particles_in_any_dimension
        test_pointnet_breaks_all_but_permutations test_progress_counts_to_the_end
        test_rounding_excuses_no_bug_of_float32 test_same_seed_same_certificate test_sound test_state_that_changes_late
        test_the_error_of_interpolation_stands_apart test_what_is_at_points_passes test_what_is_between_nodes_passes
        test_what_is_missing_for_a_stress_is_named test_what_is_not_claimed_is_information
        test_without_float64_asked_for_they_are_listed test_zero_everywhere_is_said
    """,
    "cli": """
        test_a_certificate_in_two_precisions_is_certified_once test_a_certificate_is_printed_where_it_can_not_be_stored
        test_a_checkpoint_in_its_folder_and_alone test_a_checkpoint_of_another_run_gets_nothing_of_the_folder_it_lies_in
        test_a_client_by_the_command test_a_default_temperature_is_not_called_asked_for test_a_file_is_certified_again
        test_a_file_is_told_in_words_and_as_json test_a_file_of_settings_under_the_options
        test_a_file_predicts_and_moves_as_its_run_does test_a_folder_and_a_pattern test_a_folder_says_what_its_files_say
        test_a_killed_worker_of_the_loader_is_named test_a_limit_of_memory test_a_list_is_of_one_column_each
        test_a_lone_checkpoint_does_not_say_what_it_was_tested_on
        test_a_moved_molecule_has_the_same_code_and_is_laid_on_the_first
        test_a_name_on_the_line_runs_and_a_run_folder_must_be_allowed test_a_property
        test_a_resumed_run_says_how_it_began_and_leaves_the_log_of_its_original test_a_run_folder_as_json
        test_a_run_folder_in_words test_a_run_goes_on_with_its_log test_a_run_goes_on_with_its_settings
        test_a_run_is_exported test_a_run_that_was_stopped_says_so test_a_signal_before_and_after_the_epochs
        test_a_structure_that_no_number_comes_of test_a_table_then_the_command_to_go_on_with
        test_a_test_file_declares_its_own_units test_a_training_is_stopped_resumed_and_alone_in_its_folder
        test_a_worker_that_is_left_while_it_hands_a_batch_over_is_silent test_averaged_digits_train_certify_and_predict
        test_certify_a_class_of_the_users test_certify_a_run test_certify_an_untrained_model
        test_certify_on_given_structures test_certify_without_the_runs_data test_charges_as_inputs
        test_closed_streams_and_readers_that_have_enough test_codes_are_written_as_arrays_and_as_columns
        test_completing_does_not_wait_for_the_models test_ctrl_c_saves_and_is_exit_code_130
        test_dynamics_of_charged_particles test_equipartition_is_said test_evaluate
        test_every_ensemble_says_what_it_conserves test_fields_of_ones_own_are_trained_on test_fixed_atoms_stay
        test_from_a_run test_heavy_water_stays_heavy test_helpers_end_with_the_first_process_and_the_other_way_round
        test_images_are_laid_on_each_other test_images_of_a_class test_in_a_table_as_json_and_as_a_picture test_kernels
        test_labels_in_the_last_frame_only test_lammps_by_the_command test_lists test_logs_of_every_part_are_looked_at
        test_names_of_the_run test_names_that_are_no_text test_names_that_are_not_utf8
        test_one_name_of_two_packages_is_refused test_open_and_periodic_structures_of_a_run_with_stress
        test_peers_that_are_missing_are_named test_polarizabilities_train_by_one_command
        test_predictions_and_labels_of_units_are_both_evaluated_as_they_are
        test_predictions_for_a_folder_are_certified_and_those_of_its_files test_pymatgen_json
        test_references_stay_and_are_what_is_scored test_relax_says_why_it_is_1 test_relax_with_its_cell_and_steps
        test_relaxed_structures_say_whose_energy_they_have test_runs_of_one_test_set_are_compared
        test_sdf_with_a_field_as_target test_shared_files test_standard_output_that_is_full_is_an_error
        test_the_list_has_it_and_says_what_is_broken test_the_module_answers_under_the_name_of_the_command
        test_the_run_is_called_after_its_model test_the_users_code_leaves_the_document_alone
        test_train_tells_where_the_results_are test_twenty_columns test_two_at_once_into_one_folder
        test_units_of_the_run_hold_in_every_command test_velocities_of_the_file test_voxels_from_training_to_a_program
        test_weights_from_elsewhere_have_no_data test_what_is_made_with_a_run_says_it_once
        test_whole_numbers_are_written_as_such
    """,
    "data": """
        test_a_limit_counts_what_it_leaves test_data_set test_ethanol test_positions_are_solved_for_from_overlaps
        test_rotations_of_space_are_what_they_say test_shapes_come_in_pairs test_silicons_overlaps_have_a_geometry
        test_sound_data_are_silent test_the_embedded_water_is_what_pyscf_computes
        test_the_stress_of_mlearn_is_the_derivative_of_its_energy
    """,
    "e3nn": """
        test_a_deployed_program test_e3nns_own_tests_pass_on_the_replacement
        test_energy_forces_and_gradients_are_those_on_e3nn test_every_class test_every_class_of_e3nn_0_6
        test_example_networks_of_e3nn_run_on_the_replacement test_files_of_older_versions
        test_launcher_passes_arguments_and_exit_code_and_replaces_e3nn_in_children test_layers_with_operators_of_ours
        test_potentials_of_mace test_the_lammps_model_of_mace
    """,
    "examples": """
        test_a_file_that_cannot_hold_the_rows_is_refused_before_the_work
        test_an_output_of_edges_is_predicted_as_connect_lists_them test_certificate_passes_on_the_task_s_own_data
        test_evaluate_prints_errors_with_units test_predict_writes_all_rows test_predicted_blocks_are_hermitian
        test_report_has_the_task_s_own_lines_and_pictures test_they_learn
    """,
    "fuzz": """
        test_command_lines test_hostile_files
    """,
    "gallery": """
        test_an_example_holds
    """,
    "groups": """
        test_compiled_exported_and_vectorised test_derivatives_are_right_at_the_identity_and_at_half_turns
        test_random_rotations_are_haar test_three_derivatives_of_rotation_vectors_are_right
    """,
    "integrations": """
        test_a_calculator_warns_once_and_remembers_the_last test_a_full_disk_leaves_the_former_file
        test_a_model_without_tables_is_deployed_plain test_as_many_knots_as_the_stated_error_needs
        test_derivatives_are_the_limit_of_displacements test_dynamics_in_two_threads_is_that_of_one
        test_eight_threads_with_twenty_molecules_each test_energy_is_conserved
        test_energy_is_conserved_by_ipi_in_two_thousand_steps test_energy_is_conserved_in_two_thousand_steps
        test_every_test_is_in_the_certificate_of_a_file test_heat_of_a_metal test_images_voxels_and_signals
        test_in_another_process test_iterations_are_saved test_masses_and_inputs_go_along
        test_nve_runs_at_the_temperature_or_says_why_not test_predictions_of_a_file_are_those_of_its_calculator
        test_pressure_moves_the_cell test_relaxations_in_batches_of_any_size
        test_second_derivatives_are_differences_of_forces
        test_tables_converge_to_the_network_with_the_fourth_power_of_their_spacing
        test_the_certificate_sees_seeded_faults test_the_command_writes_cubes test_the_command_writes_pages
        test_the_fock_matrix_is_that_of_the_density_nearly test_the_run_folder_has_surfaces_and_a_page
        test_the_virial_is_the_derivative_by_strain test_threads_have_their_own_steps
        test_weights_that_lie_in_the_folder_of_another_run_get_neither_its_name_nor_its_certificate
    """,
    "kernels": """
        test_a_fault_in_any_coefficient_is_found test_a_fork_before_the_first_kernel
        test_a_home_that_cannot_be_written_or_is_not_there test_a_trace_is_for_graphs_of_any_size
        test_an_exported_program_runs_in_a_process_that_only_imports_the_operators
        test_an_object_under_another_kernels_name test_compiled_with_backward test_doors_are_closed
        test_exchanged_and_damaged_objects_are_not_run test_forks_while_a_thread_compiles
        test_forks_while_a_thread_is_inside_llvm test_forks_while_kernels_are_checked
        test_new_processes_and_those_that_start_together test_one_number_less_would_be_noticed
        test_plain_torch_takes_over_and_says_so_once test_programs_keep_to_the_memory_that_they_state test_random_plans
        test_the_case_of_november test_the_operators_keep_torchs_rules
        test_the_programs_compile_for_a_hopper_card_without_spilling
        test_the_rounding_of_correct_kernels_is_far_from_the_bound
        test_values_and_derivatives_are_those_of_the_reference test_without_triton_the_kernels_are_there
    """,
    "labels": """
        test_b3lyp_is_written_out test_by_dask test_killed_at_ten_random_moments test_processes_end_with_the_command
        test_processes_that_cannot_start_are_named_as_that test_training_reads_the_file test_two_processes_are_one
    """,
    "models": """
        test_against_torch_geometric test_certificate test_compiled test_damage_is_named
        test_drawn_lifts_are_equivariant_in_distribution test_exported test_heads test_papers_presets_certify
        test_particles_against_the_equations test_polar_splines
        test_rotations_fail_in_the_certificate_of_translations_and_are_named
        test_the_error_of_other_angles_falls_with_the_orientations test_the_page_says_how_to_load_one
        test_the_preset_of_particles_is_certified
    """,
    "nn": """
        test_a_perceptron_learns_what_gates_cannot test_a_table_is_exported test_compiled_and_exported
        test_compiles_with_forces_and_exports test_derivatives_and_travel test_derivatives_of_both_orders_are_right
        test_errors_fall_with_the_number_of_orientations test_it_is_certified test_last_gate_and_derivatives
        test_maps_of_the_regular_representation_are_not_stored test_state_and_compilation
    """,
    "numerics": """
        test_standard_output_is_written_in_its_order test_the_holder_is_named_and_its_death_lets_go
        test_the_size_limit_of_a_process test_what_a_killed_process_left_is_removed_and_what_a_living_one_writes_is_not
    """,
    "o3": """
        test_a_run_is_used_without_lightning test_compiled_and_exported test_compiled_and_vectorised
        test_compiled_exported_and_vectorised test_compilers_see_one_operator test_copies_precisions_compilers
        test_equals_its_definition_in_forty_digits test_layouts_are_permutations_of_each_other
        test_orthogonal_and_homomorphic_at_random_and_awkward_rotations test_orthogonality_to_degree_20 test_sympy
        test_tables_made_under_a_mode_of_torch_are_not_kept test_transforms_and_compile
    """,
    "orbitals": """
        test_bad_input_of_densities test_fitted_coefficients_turn_with_the_molecule
        test_moments_of_densities_are_those_of_space
        test_overlaps_of_many_geometries_are_those_of_each_and_differentiable
        test_the_fit_is_the_best_of_those_with_the_charge
    """,
    "plots": """
        test_a_slice_and_its_difference test_importing_plots_loads_no_matplotlib test_overview_of_all_and_of_parts
        test_pictures_of_matrices test_surfaces_say_their_levels
        test_trajectory_tells_one_drift_in_the_unit_of_the_table
    """,
    "symmetrize": """
        test_energies_and_forces_of_ethanol test_forces_through_detached_frames_are_not_the_gradient
        test_images_in_right_angles_and_mirrors test_one_drawn_frame_is_equivariant_in_distribution
        test_samples_are_equivariant_in_distribution_and_their_error_is_told test_sorted_sets
        test_the_prior_draws_frames_to_the_axes_of_the_coordinates
    """,
    "tasks": """
        test_a_density_matrix_of_whole_pairs_is_learned test_a_density_matrix_turns_with_the_molecule
        test_a_few_molecules_are_learned test_a_few_signals_are_learned_however_they_lie
        test_a_plain_graph_is_copied_and_cast test_a_plain_graph_reads_as_a_graph_does test_a_run_learns_densities
        test_a_run_learns_water_and_begins_pyscfs_iterations test_a_tensor_turns_with_the_molecule
        test_a_turned_molecule_has_the_turned_density test_a_vector_turns_with_the_molecule
        test_an_auxiliary_basis_by_name test_axial_and_polar_tensors_differ_under_a_reflection
        test_certificate_of_a_crystal test_certified_for_proper_motions_only test_compiled_further test_compiled_whole
        test_dynamics_of_particles_with_charges test_equivariant_and_the_same_in_a_batch test_errors_are_those_of_space
        test_exported test_exported_in_single_precision test_fields_of_ones_own test_folds test_inference_mode
        test_logits_are_certified_as_invariants test_means_and_components_span_what_is_seen test_points_of_space
        test_properties test_signals_are_trained_certified_and_encoded test_tensors
        test_the_charge_is_exact_and_predictions_turn_with_the_molecule
        test_the_dipole_in_the_loss_is_that_of_the_errors test_the_loss_falls_and_reaches_every_weight
        test_the_task_is_certified test_the_task_is_certified_for_its_group
    """,
    "training": """
        test_a_baseline_without_an_error_is_better test_a_budget_that_is_spent_is_said test_a_callback_may_end_the_run
        test_a_certificate_does_not_depend_on_it test_a_former_configuration_can_take_the_balance_of_today
        test_a_former_configuration_trains_with_its_own_balance test_a_fresh_run_makes_each_stage_once
        test_a_full_disk_does_not_cost_the_result test_a_helper_that_dies_is_reported test_a_logger_of_ones_own
        test_a_mixed_file_trains_on_the_stress_there_is test_a_number_is_no_second_file
        test_a_plain_run_is_put_into_frames test_a_resumed_run_ends_with_the_same_bits_and_another_begins_with_them
        test_a_resumed_run_settles_nothing_and_resolves_what_is_stored_and_what_is_asked
        test_a_run_begins_with_the_weights_of_another test_a_run_folder_shows_its_iterations
        test_a_run_of_a_version_without_baselines_has_those_that_need_no_fit test_a_run_remembers_its_labels
        test_a_run_that_asks_for_no_certificate_lacks_none test_a_run_that_is_killed_before_its_first_epoch_begins_again
        test_a_run_that_learned_nothing_says_what_beats_it test_a_run_without_a_test_set_is_told_by_its_training_set
        test_a_search_that_was_killed_loses_no_trial test_a_search_that_was_stopped_goes_on
        test_a_second_file_that_has_changed_or_moved test_a_stress_that_was_not_learned_is_no_error
        test_a_structure_of_an_unseen_species_is_named_and_left_out test_a_task_of_any_origin_is_a_file_to_begin_with
        test_a_test_file_in_another_unit_is_the_one_to_mend test_a_trial_that_diverges_is_one_with_a_reason
        test_an_outlier_does_not_spoil_a_baseline_without_labels
        test_an_outlier_spoils_its_baseline_and_nothing_is_advised
        test_an_outlier_that_decides_which_epoch_is_kept_is_said test_another_begins_with_its_weights
        test_another_number_than_was_started test_another_search_in_the_folder_is_not_mixed_in
        test_another_task_takes_the_backbone_alone test_changed_data_are_noticed test_commands_of_a_run_read_meshes
        test_copies_and_short_training test_copies_are_told_once_and_of_what_is_evaluated
        test_csv_has_every_row_once_after_a_failure_and_a_resume test_damaged_baselines_are_refused
        test_data_that_the_weights_are_not_for test_early_stopping_and_time_budget
        test_evaluate_prints_a_row_for_each_baseline test_folds_never_seen_are_refined
        test_from_another_working_directory test_frozen_parts_keep_their_bits_and_the_run_resumes
        test_interrupt_ends_the_helpers_too test_interrupt_keeps_the_last_epoch
        test_isolated_atoms_are_references_and_never_tested test_it_goes_on
        test_it_learns_what_distances_tell_and_predicts_names test_killed_ten_times_and_resumed_ends_with_the_same_bits
        test_minutes_say_what_follows test_molecules_get_what_the_model_reads test_more_epochs_on_resume
        test_moved_data_are_given_again test_names_and_numbers_of_tensors
        test_one_in_the_validation_set_counts_and_is_named test_other_data_are_matched_by_the_names_of_their_classes
        test_other_data_are_refused test_prediction_names_the_structure test_resume_says_what_it_can_not_do
        test_runs_of_former_versions_have_relative_paths test_sizes_shorten_the_prescribed_parts
        test_species_of_the_test_set_alone_are_refused test_the_command_that_goes_on_is_enough
        test_the_file_of_the_best_is_what_train_takes test_the_first_step_is_finite
        test_the_first_trial_has_the_defaults_and_the_best_is_not_worse
        test_the_folder_is_named_after_the_model_that_is_trained test_the_run_is_loaded_and_used
        test_the_run_is_told_in_words_of_classes test_the_same_command_goes_on test_the_users_rate_is_taken
        test_two_machines_with_two_processes_each test_two_processes_are_one_with_twice_the_batch
        test_two_that_others_start_are_one_with_twice_the_batch test_validation_every_few_epochs
        test_vectors_of_a_model_of_scalars test_velocities_that_the_weights_do_not_read_are_named
        test_weights_that_know_all_species_still_do test_what_fails_in_one_ends_all
        test_what_is_beyond_the_budget_is_said test_what_is_left_out_of_the_errors_spoils_none
        test_what_is_whole_is_taken_and_averaging_may_begin_later
    """,
}

#: folder :: test -> the number of both tables.
FEW: dict[str, int] = {f"{folder}::{test}": 0 for folder, tests in NONE.items() for test in tests.split()} | {
    f"{folder}::{test}": count for folder, tests in SOME.items() for test, count in tests.items()
}
