"""What misled a newcomer at the command line."""

from tests.cases.case import Case

_SHOWING = "tests/cli/test_showing.py::"
_SIM = "tests/simverse/test_sim_cli.py::"
_STATUS = "tests/reporting/test_status.py::"

STARTING: tuple[Case, ...] = (
    Case(
        "candidate/ edited by hand after the first start",
        "ignored without a word: the run went on with what it had",
        "`start`, `status` and `doctor` say so, and name `propose` and `--tag`",
        (
            "tests/reporting/test_changed.py::test_an_edit_by_hand_is_said",
            "tests/reporting/test_changed.py::test_what_the_run_knows_is_no_edit",
            "tests/e2e/test_steering.py::test_a_hand_edited_candidate_is_said_and_judged",
        ),
    ),
    Case(
        "a person's own challenger",
        "there was no way to have one judged, but for `accept`, which judges nothing",
        "`propose`, or `start --from-worktree`: an experiment of the agent `human`, judged as any",
        (
            "tests/engine/test_steering.py::test_a_persons_candidate_is_the_next_experiment",
            "tests/engine/test_steering.py::test_it_is_never_repaired_by_the_agent",
            "tests/engine/test_steering.py::test_a_restart_resumes_it",
            "tests/e2e/test_steering.py::test_a_hand_edited_candidate_is_said_and_judged",
        ),
    ),
    Case(
        "an unchanged candidate is proposed",
        "there was no such command",
        "refused with a line that names the experiment which has the same code",
        (
            "tests/daemon/test_requests.py::"
            "test_the_incumbents_and_the_baselines_code_are_unchanged",
            "tests/daemon/test_requests.py::test_what_needs_no_evaluation_is_not_proposed",
        ),
    ),
    Case(
        "config.yaml changed while the daemon runs",
        "`resume` went on with the old one, and nothing told of it",
        "`status` names the keys; `reload` and SIGHUP take up what may change in a run",
        (
            "tests/reporting/test_changed.py::test_a_changed_configuration_is_found",
            "tests/engine/test_steering.py::test_a_reload_changes_limits_and_lanes_at_once",
            "tests/daemon/test_wiring.py::test_a_reload_gives_agent_and_log_their_settings",
            "tests/e2e/test_steering.py::test_a_changed_configuration_is_taken_up",
        ),
    ),
    Case(
        "a changed key that a run can't take up",
        "refused at the next start, or ignored until then",
        "`reload` names each, with its cure: a restart, or a new run with --tag",
        (
            "tests/config/test_reloading.py::test_each_key_takes_effect_in_its_time",
            "tests/config/test_reloading.py::test_the_rungs_that_were_used_stay",
        ),
    ),
    Case(
        "a wrong config.yaml is reread",
        "there was no such command",
        "`reload` exits 2 and names every wrong key; the daemon goes on with what it had",
        (
            "tests/daemon/test_requests.py::"
            "test_a_reload_needs_a_daemon_and_a_file_that_can_be_used",
            "tests/engine/test_steering.py::test_a_reload_that_is_refused_changes_nothing",
            "tests/e2e/test_steering.py::test_a_changed_configuration_is_taken_up",
        ),
    ),
    Case(
        "a candidate that can't be trained",
        "`start` said started, and the baseline failed 40 s later with its first mistake",
        "`start` (exit 2) and `doctor` play it confined for a few steps and list every mistake",
        (
            "tests/daemon/test_candidate_check.py::test_every_mistake_is_named_at_once",
            "tests/daemon/test_candidate_check.py::test_each_kind_of_fault_is_named",
            "tests/daemon/test_candidate_check.py::test_start_refuses_what_could_not_be_trained",
        ),
    ),
    Case(
        "a candidate that hangs",
        "found by the clock of the evaluator, after half an hour",
        "`start` and `doctor` end it after 20 s and say in which call it hung",
        ("tests/daemon/test_candidate_check.py::test_what_hangs_is_ended_and_said",),
    ),
    Case(
        "an environment with several mistakes before check_env",
        "the first kind was listed, the next after it was mended",
        "all it finds at once: what the environment says of itself, shapes, values, bounds",
        (
            "tests/simverse/test_conformance.py::test_all_faults_are_listed",
            "tests/simverse/test_conformance.py::test_faults_of_every_stage_are_listed_together",
        ),
    ),
    Case(
        "a note longer than a prompt shows",
        "cut in its middle, without a word",
        "refused, with the limit and where a long text belongs",
        ("tests/daemon/test_requests.py::test_a_note_is_whole_or_refused",),
    ),
    Case(
        "a note that no longer holds",
        "stayed in every prompt",
        "`note --list` numbers them, `note --delete N` takes one out; the ledger keeps it",
        (
            "tests/daemon/test_requests.py::test_a_deleted_note_is_no_longer_shown",
            "tests/cli/test_results.py::test_notes_are_listed_and_deleted",
        ),
    ),
    Case(
        "an experiment that was accepted by hand",
        "looked like the discard it had been, in every table, chart and prompt",
        "`results`, `show`, `status`, their JSON, the chart and the prompt say who accepted it",
        (
            "tests/cli/test_results.py::test_what_a_person_accepted_is_shown_everywhere",
            "tests/proposals/test_prompt.py::test_what_the_human_accepted_is_told",
        ),
    ),
    Case(
        "accept while an experiment is in hand",
        "took the place of whatever was kept meanwhile, without a word",
        "asks on a terminal, says so elsewhere; `--yes` does not ask",
        (
            "tests/cli/test_results.py::test_an_accept_beside_an_experiment_in_hand_says_so",
            "tests/cli/test_results.py::test_on_a_terminal_an_accept_is_asked_about",
        ),
    ),
    Case(
        "doctor in a terminal of 80 columns",
        "lines of up to 200 characters, broken anywhere",
        "its lines are wrapped below each other at 80 columns",
        (
            "tests/cli/test_workspaces.py::test_the_table_of_doctor_fits_80_columns",
            "tests/cli/test_workspaces.py::test_doctor_finds_what_is_wrong",
        ),
    ),
)
"""Starting a run, changing one, and a person's word."""

SHOWING: tuple[Case, ...] = (
    Case(
        "no score in results.tsv",
        "0.000000, as if it had scored 0",
        "an empty column (but for `train.py`'s crash row); rows of 0.1 are still known as ours",
        (
            "tests/store/test_experiment_folder.py::test_row_without_a_score",
            "tests/store/test_experiment_folder.py::test_rows_of_version_0_1_are_not_written_twice",
            "tests/cli/test_results.py::test_results_tsv_is_the_files_format",
        ),
    ),
    Case(
        "a discard that was stopped early",
        "a dash, though a seed had been evaluated",
        "how far it came: `0.3100 on 1 of 2 seeds`, in every view and in the prompt",
        (
            _SHOWING + "test_a_stopped_discard_shows_how_far_it_came",
            "tests/core/test_scores.py::test_a_stopped_discard_shows_how_far_it_came",
            "tests/proposals/test_prompt.py::test_a_stopped_discard_is_no_dash_in_the_history",
        ),
    ),
    Case(
        "an accepted experiment",
        "looked like any other discard",
        "marked in `results`, `show`, `status` and the chart, as not proven",
        (
            _SHOWING + "test_what_the_user_accepted_is_marked",
            _SHOWING + "test_the_chart_marks_what_the_user_accepted",
            "tests/reporting/test_run_view.py::test_an_accept_is_a_step_where_it_took_effect",
        ),
    ),
    Case(
        "times in logs and tables",
        "UTC without saying so",
        "on the user's clock, the zone named once; JSON stays UTC",
        (_SHOWING + "test_logs_are_in_local_time", _SHOWING + "test_runs_are_listed"),
    ),
    Case(
        "plot -o into a missing folder",
        "the folder was made, whatever its name",
        "refused in one line with the `mkdir` to copy",
        (_SHOWING + "test_a_chart_goes_into_no_missing_folder",),
    ),
    Case(
        "a long table",
        "all of it, at once",
        "`--kept`, `-n`, `--sort`, and a pager on a terminal unless `--no-pager`",
        (
            _SHOWING + "test_results_are_chosen_and_sorted",
            _SHOWING + "test_long_output_is_paged_on_a_terminal_alone",
        ),
    ),
    Case(
        "results --tag of no run",
        "`there is no run X here yet`; `[]` with --json",
        "refused, naming the runs there are; `runs` lists them",
        (
            _SHOWING + "test_an_unknown_tag_names_the_runs_there_are",
            _SHOWING + "test_runs_are_listed",
        ),
    ),
    Case(
        "a typing error",
        "`invalid choice`, and all choices",
        "`did you mean X?` for commands, options, keys, tags, examples, environments",
        (
            _SHOWING + "test_typing_errors_are_answered_with_what_was_meant",
            _SIM + "test_typing_errors_are_answered_with_what_was_meant",
        ),
    ),
    Case(
        "--workspace before the command",
        "a usage error",
        "works, as after it",
        (_SHOWING + "test_the_workspace_may_come_before_the_command",),
    ),
    Case(
        "a folder with a blank or a $ in its name",
        "a printed `cd` that a shell misreads",
        "printed commands are quoted",
        (_SHOWING + "test_printed_commands_quote_paths",),
    ),
    Case(
        "every seed scores the same, all episodes solved",
        "`95 % CI 1.0000 to 1.0000`, as if it were proven",
        "`status` says that perhaps nothing is left to gain, not proven; no interval of width 0",
        (
            _STATUS + "test_equal_seeds_at_full_solve_rate_are_noted_but_prove_nothing",
            "tests/judging/test_reference.py"
            "::test_a_reference_is_saturated_if_no_seed_differs_and_all_is_solved",
        ),
    ),
    Case(
        "the demo's progress bar",
        "`evaluating`",
        "what is measured: `measuring the baseline: seed 1 of 2, episode 6 of 12`",
        (
            _STATUS + "test_the_demos_bar_says_what_is_measured",
            "tests/engine/test_display.py::test_progress_names_the_seed_and_its_episode",
        ),
    ),
    Case(
        "check_env for a file of one's own",
        "a function to call from Python",
        "`sim check ENV`, which lists all it finds and exits with 1",
        (
            _SIM + "test_check_lists_all_it_finds",
            _SIM + "test_check_praises_what_keeps_its_contract",
            _SIM + "test_check_reports_code_that_does_not_run",
        ),
    ),
    Case(
        "sim train and sim rollout",
        "named an environment in two ways",
        "take the same: a name, gym:ID, a folder, a file",
        (_SIM + "test_train_and_rollout_take_the_same_forms",),
    ),
    Case(
        "NO_COLOR, TERM=dumb",
        "bold, dim and the bar's codes stayed",
        "no escape byte on a terminal, from any command",
        (
            _SHOWING + "test_no_code_is_sent_where_none_is_wanted",
            _SIM + "test_no_code_is_sent_where_none_is_wanted",
            _SHOWING + "test_odd_lines_of_a_log_are_shown_clean",
        ),
    ),
)
"""Tables, logs and charts."""

CASES: tuple[Case, ...] = STARTING + SHOWING
