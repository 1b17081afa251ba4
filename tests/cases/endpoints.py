"""Endpoints: half replies, errors in every place, connections, proxies."""

from tests.cases.case import Case

_API = "tests/agents/test_openai_api.py"
_TABLE = "tests/agents/test_error_table.py"
_HTTP = "tests/agents/test_http_client.py"
_SETTINGS = "tests/agents/test_client_settings.py"
_CHECK = "tests/agents/test_endpoint_check.py"
_START = "tests/daemon/test_endpoint_start.py"

CASES: tuple[Case, ...] = (
    Case(
        "03 unknown finish reason",
        "half a reply was applied for every ending but length and content_filter",
        "only a normal ending is a reply: cut and filtered ones are the experiment's repair",
        (f"{_API}::test_no_odd_ending_is_a_normal_one",),
    ),
    Case(
        "03 upstream error in a choice",
        "`invalid: empty`, one try of the experiment used up",
        "`error`, `network_error`, choices[].error and the like are waited out",
        (f"{_API}::test_a_reply_that_the_server_broke_off_is_waited_out",),
    ),
    Case(
        "reasoning fields",
        "an empty content beside a reasoning_content was `the reply is empty`",
        "reasoning is never the answer; a reply of reasoning alone is recorded as that",
        (f"{_API}::test_reasoning_is_no_answer",
         f"{_API}::test_parts_that_are_thinking_are_no_answer"),
    ),
    Case(
        "04 error body with status 200",
        "waited for ever with the same prompt",
        "sorted by code, type and wording as with any status: shed, pause or wait",
        (f"{_API}::test_too_long_in_any_words_sheds_history",
         f"{_API}::test_what_a_person_must_mend_pauses",
         f"{_TABLE}::test_the_words_count_whatever_the_status"),
    ),
    Case(
        "05 overflow as 500",
        "waited for ever, six calls of the same length",
        "history is shed at once, whatever the status",
        (f"{_API}::test_too_long_in_any_words_sheds_history",),
    ),
    Case(
        "06 429, request too large",
        "waited for ever: the request was larger than the limit itself",
        "Requested above Limit is too long: history is shed; below it is a rate: waited out",
        (f"{_API}::test_a_rate_that_a_request_never_fits_sheds_history_until_it_does",
         f"{_TABLE}::test_a_request_larger_than_the_limit_itself_is_too_long"),
    ),
    Case(
        "07 wordings of an overflow",
        "the run paused overnight with 400 lines of history that it could have shed",
        "one table with the wordings of 25 servers, in arrays, details and nested JSON too",
        (f"{_TABLE}::test_an_error_means_what_its_server_means",
         f"{_TABLE}::test_the_words_count_wherever_they_stand",
         f"{_TABLE}::test_busy_is_never_too_long"),
    ),
    Case(
        "a prompt that never fits",
        "waited for ever (500, 429, 200) or paused without the server's words",
        "pauses once nothing is left to shed, with what the server said",
        (f"{_API}::test_a_prompt_that_never_fits_says_what_the_server_said",),
    ),
    Case(
        "08 cause of a failed connection",
        "every cause read `Connection error.` and was waited out for ever",
        "the cause stands in the reason; a refused port and an unknown host wait",
        (f"{_HTTP}::test_a_refused_port_says_so_and_waits",
         f"{_HTTP}::test_an_unknown_host_says_so_and_waits"),
    ),
    Case(
        "08 certificate refused",
        "waited out for ever",
        "pauses with OpenSSL's words and the variable that names further authorities",
        (f"{_HTTP}::test_a_certificate_that_nobody_vouches_for_pauses",
         f"{_HTTP}::test_a_certificate_for_another_host_pauses",
         f"{_HTTP}::test_a_certificate_of_ones_own_can_be_named"),
    ),
    Case(
        "08 proxy in the way of a local server",
        "`Connection error.`",
        "the reason names the proxy's variable, and NO_PROXY",
        (f"{_HTTP}::test_a_proxy_in_the_way_of_this_machine_is_named",),
    ),
    Case(
        "09 proxies that no client takes",
        "the daemon ended with a traceback after the baseline; doctor said ok",
        "exit 2 at the start, in one line that names the variable",
        (f"{_SETTINGS}::test_a_variable_that_no_call_can_be_made_with_is_named",
         f"{_SETTINGS}::test_a_socks_proxy_needs_its_package",
         f"{_SETTINGS}::test_a_host_that_is_left_out_needs_no_proxy",
         f"{_START}::test_a_variable_that_no_client_can_be_made_with_ends_the_start"),
    ),
    Case(
        "09 SSL_CERT_FILE naming nothing",
        "waited for ever, naming no file",
        "exit 2 at the start, naming variable and file",
        (f"{_SETTINGS}::test_a_variable_that_no_call_can_be_made_with_is_named",
         f"{_SETTINGS}::test_a_file_without_certificates_is_named"),
    ),
    Case(
        "wrong key, unknown model",
        "found after the baseline was trained",
        "one tiny call at start and doctor: exit 2 with the cure, and the nearest names of models",
        (f"{_CHECK}::test_what_a_person_must_mend_is_bad",
         f"{_CHECK}::test_an_unknown_model_comes_with_the_nearest_names",
         f"{_START}::test_a_refused_key_ends_the_start",
         f"{_START}::test_doctor_shows_the_endpoint"),
    ),
    Case(
        "start without a network",
        "nothing was said",
        "a note with the cause within ten seconds; the start goes on",
        (f"{_CHECK}::test_a_network_that_is_down_is_a_note",
         f"{_CHECK}::test_a_silent_endpoint_is_left_in_time"),
    ),
    Case(
        "no limit and a paid endpoint",
        "nothing was said",
        "start and doctor say that the run pays until it is stopped",
        (f"{_START}::test_no_limit_at_all_is_said",),
    ),
    Case(
        "200,000 opening brackets",
        "RecursionError, the daemon exited with 1",
        "a broken answer: waited out",
        (f"{_API}::test_json_without_end_is_waited_out",),
    ),
    Case(
        "700 MB in a gzip answer",
        "the agent's process grew to 1.5 GB",
        "left after 8 MB, an error's body too",
        (f"{_HTTP}::test_an_answer_that_inflates_without_end_is_left",
         f"{_HTTP}::test_a_body_that_never_ends_is_left"),
    ),
    Case(
        "counts that none can be",
        "a count of 10**30 reached the ledger",
        "unknown",
        (f"{_API}::test_a_count_that_none_can_be_is_unknown",
         f"{_API}::test_not_a_number_is_unknown"),
    ),
    Case(
        "redirects",
        "followed: the prompt went where the server said",
        "not followed: pauses with the address to set",
        (f"{_HTTP}::test_a_redirect_is_not_followed",
         f"{_API}::test_a_redirect_pauses_with_the_address"),
    ),
    Case(
        "password in base_url",
        "echoed in errors, logs and status",
        "never shown: nor those of proxies, nor keys in a query",
        (f"{_HTTP}::test_no_message_shows_a_password",
         f"{_SETTINGS}::test_a_proxys_password_is_not_shown",
         "tests/config/test_loading.py::test_a_password_in_a_broken_address_is_not_shown",
         "tests/core/test_text.py::test_addresses_show_no_password"),
    ),
    Case(
        "any answer at all",
        "some ended the daemon",
        "a reply, a pause or a wait: fuzzed over bytes, headers, encodings and failures",
        ("tests/fuzz/test_endpoints.py::test_no_answer_of_an_endpoint_is_a_bug",),
    ),
)  # fmt: skip
