"""Repositories and systems: git, links, limits, locales."""

from tests.cases.case import Case

_GIT = "tests/store/test_git.py::"
_START = "tests/cli/test_running.py::"
_INHERITED = "tests/sandbox/test_inherited.py::"
_AROUND = "tests/reliability/test_surroundings.py::"
_ROWS = "tests/store/test_experiment_folder.py::"
_NEW = "tests/daemon/test_new_workspace.py::"

CASES: tuple[Case, ...] = (
    Case(
        "11 safe.directory ignored",
        "a repository of another user is refused although the user's git trusts it",
        "used where the user's own git uses it; no other setting of the user's takes part",
        (
            f"{_GIT}test_safe_directory_is_honoured",
            f"{_GIT}test_nothing_else_of_the_users_configuration_is_used",
        ),
    ),
    Case(
        "12 not a repository, misdiagnosed",
        "an unknown extension or a broken line in .git/config reads `run git init`",
        "what git says is told, by `start` and `init`; only where there is none, `git init`",
        (
            f"{_GIT}test_what_git_can_not_use_is_told_in_its_words",
            f"{_GIT}test_a_work_tree_whose_repository_is_gone_is_told",
            f"{_NEW}test_a_repository_that_git_can_not_use_is_one",
        ),
    ),
    Case(
        "13 a ref in the way of the run's",
        "the baseline is trained, then the run waits for ever",
        "refused at start by name, above or below, packed or not; made later, it pauses the run",
        (
            f"{_START}test_a_ref_in_the_way_of_the_runs_own_is_named",
            f"{_GIT}test_a_ref_in_the_way_is_named",
            f"{_GIT}test_a_ref_beside_ours_is_not_in_the_way",
        ),
    ),
    Case(
        "14 partial clone",
        "the baseline is trained, then `git mktree` fails for ever",
        "commits name what the clone left out; a tree that is missing itself is told at start",
        (
            f"{_GIT}test_a_partial_clone_gets_commits",
            f"{_GIT}test_a_clone_without_the_tree_of_head_is_told",
        ),
    ),
    Case(
        "15 long TMPDIR",
        "`candidates can't be confined … AF_UNIX path too long`, with advice to switch it off",
        "runs confined; a fault of the probe's own set-up is told as one, without that advice",
        (
            f"{_INHERITED}test_the_probe_works_from_a_long_folder",
            f"{_INHERITED}test_a_long_folder_does_not_blunt_the_probe",
            f"{_INHERITED}test_a_fault_of_the_probe_is_no_verdict",
            "tests/evaluation/test_confinement.py::test_a_fault_of_the_probe_is_not_cured_by_less_confinement",
            f"{_AROUND}test_a_long_temporary_folder",
        ),
    ),
    Case(
        "16 SIGCHLD ignored",
        "`the probe could leave a process behind`: no run, with advice to switch it off",
        "every process that waits for children puts ignored and blocked signals right first",
        (
            f"{_INHERITED}test_signals_and_the_umask_are_put_right",
            f"{_INHERITED}test_a_worker_server_works_with_ignored_children",
            f"{_AROUND}test_ignored_and_blocked_signals",
        ),
    ),
    Case(
        "17 closed standard streams",
        "`start >&- 2>&-` exits with 1 although the daemon runs",
        "exits with 0: descriptors 0 to 2 are occupied before any pipe is made",
        (
            f"{_INHERITED}test_closed_streams_are_occupied",
            f"{_INHERITED}test_a_server_started_without_streams_answers",
            f"{_AROUND}test_closed_standard_streams",
        ),
    ),
    Case(
        "18 cores of the host",
        "as many seeds side by side as the host has cores",
        "as many as affinity and the quotas of the control groups allow, those above included",
        (
            "tests/sandbox/test_cores.py::test_one_allowed_cpu_is_one_core",
            "tests/sandbox/test_cores.py::test_the_quota_of_a_control_group_counts",
            "tests/sandbox/test_cores.py::test_the_quota_of_a_group_above_counts_too",
            "tests/sandbox/test_cores.py::test_a_container_sees_its_own_group_as_the_top",
        ),
    ),
    Case(
        "19 output that is not UTF-8",
        "`status` and `show` end with a UnicodeEncodeError",
        "what the encoding lacks is replaced; every command keeps its exit code",
        (f"{_AROUND}test_an_encoding_without_our_characters",),
    ),
    Case(
        "22 results.tsv of another loop",
        "our columns are appended below another header, and read back as foreign",
        "history only, not a byte changed; our rows go to logs/results.tsv and are known as ours",
        (
            f"{_ROWS}test_another_tools_file_is_history_only",
            f"{_ROWS}test_rows_that_0_1_wrote_below_another_header_are_our_own",
            f"{_ROWS}test_our_own_header_with_other_line_ends_is_ours",
            "tests/cli/test_foreign_text.py::test_a_start_names_where_rows_go",
        ),
    ),
    Case(
        "init below another repository",
        "a repository within a repository, without a word",
        "refused unless --nested says so, or the outer one ignores the folder",
        (
            "tests/cli/test_workspaces.py::test_init_below_another_repository_must_be_meant",
            "tests/cli/test_workspaces.py::test_init_in_a_checkout_is_no_nesting",
        ),
    ),
    Case(
        "init in a repository without a commit",
        "init succeeds and start refuses",
        "refused before anything is written",
        (f"{_NEW}test_a_repository_without_a_commit_is_refused",),
    ),
    Case(
        "init that fails half-way",
        "a second try finds `a workspace already`",
        "nothing of ours is left",
        (f"{_NEW}test_what_fails_half_way_leaves_nothing",),
    ),
    Case(
        "a moved workspace",
        "not noticed",
        "`status`, the start's notes and the log say from where to where; the run goes on",
        ("tests/reporting/test_status.py::test_a_moved_workspace_is_told_and_goes_on",),
    ),
)
