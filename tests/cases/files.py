"""Files and texts of others: links, FIFOs, permissions, escape codes."""

from tests.cases.case import Case

_FOREIGN = "tests/cli/test_foreign_text.py::"
_FILES = "tests/store/test_user_files.py::"
_ROWS = "tests/store/test_experiment_folder.py::"
_CONFIG = "tests/config/test_loading.py::"
_NEW = "tests/daemon/test_new_workspace.py::"

CASES: tuple[Case, ...] = (
    Case(
        "a workspace in a folder named $NAME",
        "the name is expanded, and refs are written into another repository",
        "names are never expanded, by git's adapter, `init` or `export`",
        (
            "tests/store/test_git.py::test_names_of_folders_are_never_expanded",
            f"{_FOREIGN}test_names_of_folders_are_not_expanded",
            f"{_NEW}test_odd_folder_names_are_ignored_below_a_repository",
        ),
    ),
    Case(
        "results.tsv is a link, a pipe or a device",
        "a link's target gets rows; a pipe hangs `results`",
        "neither read nor written; rows go to logs/results.tsv, and the start says so",
        (f"{_ROWS}test_an_odd_results_file_is_neither_read_nor_written",),
    ),
    Case(
        "results.tsv with endless lines",
        "read into memory",
        "such lines are skipped, and the last 20,000 rows kept",
        (f"{_ROWS}test_a_line_without_end_is_not_read_into_memory",),
    ),
    Case(
        "escape codes in texts of others",
        "printed raw by `results`, `show`, `status`, and written into evaluator.log",
        "removed from every command's output, our files and commit messages",
        (
            f"{_FOREIGN}test_nothing_that_a_terminal_obeys_is_printed",
            f"{_FOREIGN}test_the_words_are_still_there",
            f"{_ROWS}test_text_of_others_is_harmless_in_our_files",
            "tests/core/test_text.py::test_clean_strips_what_cant_be_seen",
        ),
    ),
    Case(
        "results.tsv with 1e308, inf or nan",
        "`plot` crashes",
        "the rest is drawn",
        (f"{_FOREIGN}test_scores_that_no_picture_holds_are_left_out",),
    ),
    Case(
        "tag $_$",
        "`plot` crashes",
        "no text is taken for a formula",
        (f"{_FOREIGN}test_a_name_is_no_formula",),
    ),
    Case(
        "a tag of 300 characters, or one that a terminal obeys",
        "accepted, then the run waits for ever",
        "refused at start, with the limit",
        ("tests/cli/test_running.py::test_a_tag_that_git_or_a_terminal_can_not_have_is_refused",),
    ),
    Case(
        "init and export through links",
        "a dangling link's target is written",
        "nothing is written through a link or a pipe, by `plot` neither",
        (
            f"{_NEW}test_init_writes_through_nothing",
            f"{_NEW}test_init_makes_nothing_where_a_link_leads_nowhere",
            f"{_FOREIGN}test_nothing_is_written_through_what_stands_in_the_way",
        ),
    ),
    Case(
        ".autorl or logs is a link, or holds one",
        "followed: a heartbeat empties the target",
        "refused at start, with the cure",
        (
            f"{_FOREIGN}test_folders_of_the_workspace_that_are_links_are_refused",
            f"{_FOREIGN}test_a_state_that_is_a_link_is_left_alone",
            f"{_ROWS}test_files_of_an_experiment_are_not_written_through_links",
            f"{_FILES}test_what_is_not_regular_is_not_opened",
        ),
    ),
    Case(
        "a log or a lock that is a pipe",
        "waited for without end",
        "said in one line",
        (
            f"{_FOREIGN}test_a_log_that_is_a_pipe_is_not_waited_for",
            f"{_FILES}test_a_lock_that_is_a_pipe_or_a_link_is_refused",
        ),
    ),
    Case(
        "permissions of the ledger",
        ".autorl at 755 leaves the ledger readable by others",
        "0700 and 0600 whatever the umask, its journal too; older ones are tightened",
        (
            f"{_FILES}test_the_state_is_the_owners_alone",
            f"{_FILES}test_the_ledgers_journal_is_the_owners_alone",
        ),
    ),
    Case(
        "a YAML key of 10 MB",
        "30 seconds",
        "refused at once: 64 KiB for the file and each setting",
        (
            f"{_CONFIG}test_a_file_far_too_large_is_refused_at_once",
            f"{_CONFIG}test_a_setting_far_too_long_is_refused_at_once",
            f"{_CONFIG}test_thousands_of_wrong_keys_are_not_all_listed",
            f"{_CONFIG}test_a_pipe_in_place_of_the_file_is_not_waited_for",
        ),
    ),
)
