"""What a candidate could do to its score, or a worker to the referee."""

from tests.cases.case import Case

_REFEREE = "tests/referee"

CASES: tuple[Case, ...] = (
    Case(
        name="pays by the count of its creations (B01)",
        before="pays the bound in the scored play and honestly in the audit: kept at the maximum, no flag",
        after="each batch has a fresh worker and one creation; random play is paid alike, and so it is flagged",
        tests=(
            f"{_REFEREE}/test_flags_raised.py::test_no_environment_is_made_twice_in_one_worker",
            f"{_REFEREE}/test_order.py::test_the_draw_decides_when_the_scored_batch_is_played",
            f"{_REFEREE}/test_flags.py::test_scored_batches_that_pay_more_are_flagged",
        ),
    ),
    Case(
        name="pays late, after the steps that were audited",
        before="replays ended at half of the horizon, random play after 1000 steps",
        after="all audits run to the horizon",
        tests=(f"{_REFEREE}/test_flags_raised.py::test_a_long_horizon_is_followed_to_its_end",),
    ),
    Case(
        name="forged number of actions (C01)",
        before="ValueError in the referee: refused, the run paused",
        after="rejected: every number of a worker has its type and bounds",
        tests=(
            f"{_REFEREE}/test_evaluation.py::test_a_forged_number_of_actions_is_the_candidates_fault",
            f"{_REFEREE}/test_messages.py::test_a_forged_message_disqualifies",
            "tests/fuzz/test_workers.py::test_no_message_of_a_worker_ends_the_referee",
        ),
    ),
    Case(
        name="film of large views (C05)",
        before="every frame kept as Python floats, every message kept with its observations: unbounded",
        after="a film has a budget and says what it leaves out; recorders hold copies of what they need",
        tests=(
            f"{_REFEREE}/test_episodes.py::test_a_film_of_large_views_is_bounded",
            f"{_REFEREE}/test_episodes.py::test_a_recorder_holds_no_message",
        ),
    ),
    Case(
        name="seeds told by an error (C06)",
        before="the error's text, with the evaluation seeds, was told to the agent",
        after="type and line alone; the text is in the experiment's folder, for people",
        tests=(
            f"{_REFEREE}/test_evaluation.py::test_an_evaluation_that_fails_tells_type_and_line_alone",
            f"{_REFEREE}/test_messages.py::test_a_forged_type_or_line_is_not_told",
            f"{_REFEREE}/test_messages.py::test_nothing_else_that_a_worker_says_is_told",
        ),
    ),
    Case(
        name="longer horizon (C07)",
        before="train.py alone set max_steps 200: 5.6 to 67.9, kept under the naive rule, no flag",
        after="flagged and vetoed, longer as shorter, also where the environment moves its own end",
        tests=(
            "tests/engine/test_experiment.py::test_another_horizon_than_the_incumbents_is_flagged",
            "tests/judging/test_flag_rules.py::test_an_environment_that_moves_its_episodes_end_is_flagged",
        ),
    ),
    Case(
        name="spaces of another kind (20)",
        before="crash: AttributeError: 'MultiDiscrete' object has no attribute 'n'",
        after="invalid before training, in the contract's words; the conformance check says the same",
        tests=(
            f"{_REFEREE}/test_evaluation.py::test_spaces_of_another_kind_are_invalid",
            "tests/simverse/test_conformance.py::test_declaration_faults_are_named",
        ),
    ),
)
