//! The claims, each a function; a failed one panics.

pub(crate) mod adopt;
mod cost;
mod escape;
mod exec;
mod isolate;
mod logs;
mod mounts;
mod options;
mod run;

type Case = (&'static str, fn());

pub(crate) const ALL: [Case; 39] = [
    ("a_container_runs_and_its_output_and_status_are_kept", run::output_and_status),
    ("stop_asks_first_and_kills_after_the_grace", run::stop),
    ("a_bad_command_is_named_and_leaves_nothing", run::bad_command),
    ("remove_leaves_nothing", run::remove),
    ("running_out_of_memory_is_reported", run::out_of_memory),
    ("an_image_is_found_by_name_and_id", run::images),
    ("exec_has_its_own_streams_and_status", exec::streams),
    ("exec_takes_user_directory_and_environment", exec::settings),
    ("a_further_process_has_a_terminal_of_its_own", exec::terminal),
    ("a_hostile_inside_gives_no_other_terminal", exec::hostile_terminal),
    ("a_tied_process_ends_with_whoever_asked_for_it", exec::tied),
    ("a_check_is_filled_in_by_the_image_and_outlives_the_daemon", exec::check),
    ("a_follower_hears_everything_across_files_until_the_end", logs::follow),
    ("a_follower_stops_at_the_time_asked_for", logs::until),
    ("logs_outlive_their_container", logs::after_the_end),
    ("options_reach_the_kernel_and_bad_ones_are_refused", options::tables),
    ("a_terminal_is_one_stream", options::terminal),
    ("init_reaps_and_passes_signals_on", options::init),
    ("binds_and_memory_are_mounted_where_asked", mounts::binds),
    ("a_volume_outlives_its_containers", mounts::volumes),
    ("no_mount_leads_out_of_the_root", mounts::hostile),
    ("a_container_outlives_its_daemon", adopt::outlives),
    ("a_container_without_its_shim_is_lost", adopt::lost),
    ("a_container_not_started_ends_with_its_shim", adopt::lost_before_start),
    ("a_shim_killed_at_any_step_leaves_nothing", adopt::killed_while_making),
    ("what_only_a_control_group_names_is_found", adopt::forgotten),
    ("system_calls_are_filtered", isolate::seccomp),
    ("privileges_are_gained_as_docker_lets_them", isolate::privileges),
    ("the_inside_looks_as_docker_makes_it", isolate::inside),
    ("a_hostile_root_file_system_is_refused", isolate::hostile_root),
    ("a_fork_bomb_meets_its_limit", isolate::pids),
    ("limits_stand_in_the_control_group", isolate::limits),
    ("what_tells_of_the_machine_is_hidden_or_read_only", isolate::hidden),
    ("no_image_changes_the_program_of_shims", escape::program),
    ("a_volume_takes_nothing_through_another_containers_link", escape::copy),
    ("what_a_container_built_goes_whatever_its_depth", escape::depth),
    ("whatever_joins_is_held_and_the_shim_is_not", escape::held),
    ("a_silent_shim_costs_its_own_container", escape::silent),
    ("a_container_starts_soon_and_its_shim_is_small", cost::time_and_memory),
];
