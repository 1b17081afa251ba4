"""Replies of a model: reasoning, encodings, edits that miss."""

from tests.cases.case import Case

_REASONING = "tests/proposals/test_reasoning.py"
_ONE = "tests/proposals/test_one_proposal.py"
_ENDINGS = "tests/proposals/test_endings.py"
_SOURCE = "tests/core/test_python_source.py"

CASES: tuple[Case, ...] = (
    Case(
        "a draft in `<think>` is applied",
        "The draft's edit and the answer's were both applied, under the answer's description.",
        "What a model thinks, in whatever marks, is no answer: only the edit after it is applied.",
        (
            f"{_REASONING}::test_replies_of_thinking_models_are_their_answers",
            f"{_REASONING}::test_reasoning_is_no_answer",
            f"{_REASONING}::test_drafts_are_never_applied",
        ),
    ),
    Case(
        "a good reply is refused for its thoughts",
        "Drafts, unclosed fences and lone paths before `</think>` made the answer invalid.",
        "The answer is applied with its own description, also where only the closing tag arrives.",
        (
            f"{_REASONING}::test_replies_of_thinking_models_are_their_answers",
            f"{_REASONING}::test_description_is_the_answers_in_a_refused_reply_too",
        ),
    ),
    Case(
        "a reply that ends while it thinks",
        "A complete draft was applied as if it were the answer.",
        "`truncated` or `empty`: the agent is told that nothing follows its reasoning.",
        (
            f"{_REASONING}::test_reasoning_without_an_end_holds_no_answer",
            f"{_REASONING}::test_nothing_after_the_reasoning",
        ),
    ),
    Case(
        "a `<think>` in the candidate's code or in prose",
        "It was text, as any other.",
        "It still is: in a fenced block, or quoted within a line, it takes nothing away.",
        (
            f"{_REASONING}::test_tags_in_code_are_code",
            f"{_REASONING}::test_tags_quoted_in_a_line_are_prose",
        ),
    ),
    Case(
        "a reply cut with another word than `length`",
        "Every finish reason but three counted as complete: half a reply was applied.",
        "One table sorts the words of all servers; an unknown one counts as cut.",
        (
            f"{_ENDINGS}::test_finish_reasons_are_sorted",
            f"{_ENDINGS}::test_incomplete_replies_are_refused_by_name",
        ),
    ),
    Case(
        "a byte order mark in a candidate's file",
        "`syntax_error`, for the baseline and for replies; a reply lost its description.",
        "Files are parsed as Python imports them, and keep their mark through edits.",
        (
            f"{_SOURCE}::test_what_python_imports_is_parsed_as_python_does",
            "tests/referee/test_candidate_files.py::test_worker_imports_what_python_imports",
            "tests/proposals/test_reply.py::test_byte_order_mark_of_the_file_is_kept",
            "tests/proposals/test_reply.py::test_reply_with_a_byte_order_mark_in_the_file_is_taken",
            "tests/proposals/test_reply.py"
            "::test_byte_order_mark_of_the_reply_is_no_part_of_its_first_field",
        ),
    ),
    Case(
        "a candidate's lines end in CR alone",
        "No SEARCH text was found in such a file.",
        "Lines end where Python ends them, and the file keeps its line ends.",
        (
            f"{_SOURCE}::test_what_python_imports_is_parsed_as_python_does",
            "tests/proposals/test_reply.py::test_old_mac_line_ends_of_the_file_are_kept",
        ),
    ),
    Case(
        "a SEARCH text that misses by its second line",
        "`the SEARCH text is not there:` and its first line, which was there.",
        "The message names the line where the two part, what stands there, and what differs.",
        (
            "tests/proposals/test_missed_search.py"
            "::test_message_says_where_the_search_text_parts_from_the_file",
            "tests/proposals/test_missed_search.py::test_second_line_in_part",
            "tests/proposals/test_missed_search.py::test_ambiguous_search_texts_name_their_lines",
        ),
    ),
    Case(
        "an integer of 4,000 hexadecimal digits",
        "ValueError: the daemon exited, four starts in a row.",
        "The reply is refused, with the line; so is whatever else a parser chokes on.",
        (
            f"{_SOURCE}::test_what_cant_be_used_is_a_syntax_error",
            "tests/engine/test_replies.py::test_no_source_code_in_a_reply_ends_the_daemon",
            "tests/agents/test_optuna_search.py::test_no_source_ends_or_delays_the_search",
        ),
    ),
    Case(
        "files made to take a reader's time",
        "Comparing files of repeated lines took the cube of their length, a line of `#` its square.",
        "Comparing, searching and parsing take seconds at most, whatever the files hold.",
        (
            "tests/core/test_diff.py::test_change_is_a_patch_that_git_applies",
            "tests/proposals/test_missed_search.py::test_message_is_short_and_soon_there",
            f"{_REASONING}::test_reasoning_is_found_in_linear_time",
        ),
    ),
    Case(
        "a draft in marks that nobody knows, or in none",
        "The draft's edit and the answer's were both applied, under the draft's description.",
        "`ambiguous`: a description between two edits begins another proposal, and neither is used.",
        (
            f"{_ONE}::test_two_proposals_are_refused",
            f"{_ONE}::test_two_files_may_be_one_proposal",
        ),
    ),
    Case(
        "`</think>` amid a line, `<details>` amid the reply, more marks of models",
        "The draft was applied with the answer, or the answer was refused as `truncated`.",
        "Only the answer is applied; what may be half of it is refused.",
        (
            f"{_ONE}::test_answer_alone_is_applied",
            f"{_ONE}::test_both_edits_are_applied",
            f"{_ONE}::test_close_between_two_edits_is_refused",
        ),
    ),
    Case(
        "a whole reply in one fence, `show #3`, a request in a fence",
        "`path_missing`, `no_edit`: a good reply used up a turn of repair.",
        "The fence is taken away; the code is shown.",
        (
            "tests/proposals/test_reply.py::test_reply_in_a_fence_is_unwrapped",
            "tests/proposals/test_show_requests.py::test_a_line_of_its_own_asks",
        ),
    ),
    Case(
        "a diff, a patch or other markers",
        "`syntax_error` at the marker, or `no_edit`: the agent repaired the wrong thing.",
        "`malformed_block`, with the form that is read.",
        (
            "tests/proposals/test_reply.py::test_other_forms_of_edits_are_told_the_form",
            "tests/proposals/test_reply.py::test_other_forms_without_a_path_are_told_the_form",
        ),
    ),
    Case(
        "any reply at all",
        "Not tried with more than 300 made-up texts.",
        "Fuzzed: a proposal that is what the reply says, or a refusal with a name.",
        ("tests/fuzz/test_replies.py::test_any_reply_is_refused_or_is_what_it_says",),
    ),
)
