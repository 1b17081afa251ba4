"""Finish reasons of all servers: only a normal ending makes a reply complete."""

import pytest

from orchestrator.core.errors import EditError
from orchestrator.proposals.endings import Ending, check_ending, ending, worst_reason

SORTED: dict[Ending, str] = {
    "complete": """
        stop eos_token stop_sequence end_turn STOP COMPLETE FINISH_REASON_STOP FinishReason.STOP
        eosFound REASON_STOP stop-sequence eos completed
    """,
    "cut": """
        length max_tokens MAX_TOKENS model_length model_context_window_exceeded LENGTH maxTokens
        REASON_MAX_LEN ERROR_LIMIT max_output_tokens FinishReason.MAX_TOKENS time_limit pause_turn
        tool_calls function_call tool_use MALFORMED_FUNCTION_CALL repetition
        OTHER FINISH_REASON_UNSPECIFIED null unknown stopping --- \ud800
        stop:max_tokens stop,length token_limit_error context_length_error malformed_output_error
    """,
    "filtered": """
        content_filter content-filter content_filtered sensitive SAFETY RECITATION BLOCKLIST
        PROHIBITED_CONTENT SPII LANGUAGE guardrail_intervened ERROR_TOXIC
        content_filter:PROHIBITED_CONTENT content_filter:SAFETY content_filter:OTHER
        content_filter,hate filtered content_moderation blocked policy_violation safety_error
    """,
    "refused": "refusal REFUSAL refused",
    "transient": """
        error ERROR network_error insufficient_system_resource abort cancelled USER_CANCEL
        engine_overloaded service_unavailable internal_server_error connection_error network
        rate_limit RateLimit upstream_timeout provider_error server_overloaded interrupted preempted
        error:timeout
    """,
}
CODES: dict[Ending, str] = {
    "cut": "truncated",
    "filtered": "content_filter",
    "refused": "refusal",
    "transient": "truncated",
}


@pytest.mark.parametrize(
    ("name", "expected"), [(name, end) for end, names in SORTED.items() for name in names.split()]
)
def test_finish_reasons_are_sorted(name: str, expected: Ending) -> None:
    """The words of every server are known, however they are written; unknown ones count as cut."""
    assert ending(name) == expected


@pytest.mark.parametrize(
    ("reason", "beside", "worst"),
    [
        ("stop", (), "stop"),
        ("stop", ("length",), "length"),
        ("length", ("MAX_TOKENS",), "length"),
        ("null", ("MAX_TOKENS",), "MAX_TOKENS"),
        ("error", ("content_filter",), "content_filter"),
        ("wat", ("stop",), "wat"),
        ("stop", ("</s>", "\n\n", "STOP", "ok"), "stop"),
    ],
)
def test_of_several_reasons_the_worst_counts(
    reason: str, beside: tuple[str, ...], worst: str
) -> None:
    """Of the words beside the reason only those that are known as bad."""
    assert worst_reason(reason, beside) == worst


def test_an_empty_finish_reason_is_no_normal_end() -> None:
    """A server writes it where it has not finished."""
    assert ending("") == "cut"


@pytest.mark.parametrize(
    ("name", "code"), [(name, code) for end, code in CODES.items() for name in SORTED[end].split()]
)
def test_incomplete_replies_are_refused_by_name(name: str, code: str) -> None:
    """The refusal has the ending's code and tells the server's own word."""
    with pytest.raises(EditError) as caught:
        check_ending(name)
    assert caught.value.code == code
    assert name.replace("\ud800", "") in str(caught.value)


def test_endless_finish_reason_is_bounded() -> None:
    """A finish reason of any length makes a short message."""
    with pytest.raises(EditError) as caught:
        check_ending("x" * 100_000)
    assert len(str(caught.value)) < 300
