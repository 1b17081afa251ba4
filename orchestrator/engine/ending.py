"""The end of an experiment: a verdict, flags and a review become an outcome. Pure."""

import statistics
from collections.abc import Sequence
from dataclasses import replace

from orchestrator.core.candidate_mode import has_environment
from orchestrator.core.evaluations import Evaluation, Measurement, Report, SeedResult, Verdict
from orchestrator.core.flags import HORIZON_CHANGED
from orchestrator.core.records import ADOPTED, Status
from orchestrator.core.reviews import NoReview, Opinion, Review, ReviewRequest
from orchestrator.core.text import counted
from orchestrator.engine.outcome import Candidate, Outcome, Rules
from orchestrator.judging import flag_rules, rulers, task_rules
from orchestrator.judging.candidate_evidence import CandidateEvidence
from orchestrator.judging.flag_rules import ScoredCandidate
from orchestrator.judging.horizon_rules import changed_horizon


def with_comparisons(evaluation: Evaluation, results: Sequence[SeedResult]) -> Evaluation:
    """Return the evaluation, with the comparisons that the verdict rests on among its seeds."""
    compared = {result.seed: result.compared for result in results}
    seeds = tuple(
        replace(seed, compared=compared.get(seed.seed, seed.compared)) for seed in evaluation.seeds
    )
    return replace(evaluation, seeds=seeds)


# -- judging ---------------------------------------------------------------------------------------


def judged(
    evaluation: Evaluation,
    candidate: Candidate,
    lead: CandidateEvidence,
    rules: Rules,
    plan: Measurement,
) -> Outcome:
    """Turn a verdict into an outcome; the flags of the comparison may veto it.

    Args:
        evaluation: the evaluator's report, with the verdict.
        candidate: what was evaluated.
        lead: what it was judged against.
        rules: the numbers of the configuration.
        plan: what was measured.
    """
    verdict = evaluation.verdict
    assert verdict is not None
    if not lead.is_task:
        return _first_task(evaluation, candidate, lead, rules)
    scored = lead.scored
    is_measured = _is_measured(evaluation, lead, plan)
    if scored is not None and evaluation.score is not None:  # else it was stopped early
        challenger = ScoredCandidate(
            evaluation.score, evaluation.max_steps, evaluation.report, candidate.files.env
        )
        flags = flag_rules.compare(scored, challenger, is_measured=is_measured)
        evaluation = replace(evaluation, flags=(*evaluation.flags, *flags))
        horizon = other_horizon(evaluation, lead)
        if horizon and is_measured and not rules.pins_horizon:
            verdict = _of_other_horizon(verdict, horizon)
            evaluation = replace(evaluation, verdict=verdict)
    status, reason = verdict.status, verdict.reason
    if status in ADOPTED:
        excused = [*(scored.flags if scored else ())]
        if verdict.is_other_task:
            excused.append(HORIZON_CHANGED)  # which is what its review is about
        if vetoed_for := flag_rules.veto(evaluation.flags, excused, rules.veto):
            status = Status.REJECTED
            reason = flag_rules.veto_reason(vetoed_for, verdict.gain_text)
    return Outcome(status, reason, evaluation, candidate, lead=lead)


def _first_task(
    evaluation: Evaluation, candidate: Candidate, lead: CandidateEvidence, rules: Rules
) -> Outcome:
    verdict = evaluation.verdict
    assert verdict is not None
    status, reason = verdict.status, verdict.reason
    if vetoed_for := flag_rules.veto(evaluation.flags, (), rules.veto):
        status = Status.REJECTED
        reason = flag_rules.veto_reason(vetoed_for, verdict.gain_text)
    elif not rules.has_world and (why_not := task_rules.no_task(evaluation.report, (), ())):
        status, reason = Status.DISCARD, f"discarded: no task to improve on either: {why_not}"
        evaluation = replace(evaluation, verdict=replace(verdict, status=status, reason=reason))
    return Outcome(status, reason, evaluation, candidate, lead=lead)


def _is_measured(evaluation: Evaluation, lead: CandidateEvidence, plan: Measurement) -> bool:
    """Is it known from play, or from the code, whether the environments differ?"""
    if lead.files is None:
        return False
    return plan.compared_with is None or all(seed.compared for seed in evaluation.seeds)


def other_horizon(evaluation: Evaluation, lead: CandidateEvidence) -> str | None:
    """Return how the challenger's horizon differs from the lead's, None if it does not."""
    scored = lead.scored
    if scored is None:
        return None
    return changed_horizon(scored.max_steps, evaluation.max_steps, scored.report, evaluation.report)


def _of_other_horizon(verdict: Verdict, how: str) -> Verdict:
    """Return the verdict on a challenger whose report tells another horizon.

    Returns over more or fewer steps were compared, so what they showed is no gain. A discard stays
    one: that its returns may have fallen for the horizon alone is said.
    """
    changed = tuple(dict.fromkeys((*verdict.changed, rulers.HORIZON)))
    if verdict.status not in ADOPTED:
        reason = f"{verdict.reason} (over another horizon: {how})"
        return replace(verdict, changed=changed, reason=reason)
    reason = f"another task (horizon changed: {how})"
    return replace(verdict, status=Status.KEEP, changed=changed, reason=reason, is_other_task=True)


# -- reviewing -------------------------------------------------------------------------------------


def review_request(outcome: Outcome) -> ReviewRequest:
    """Return what a reviewer is shown of a challenger that would take the lead."""
    candidate, lead, evaluation = outcome.candidate, outcome.lead, outcome.evaluation
    assert candidate is not None
    assert lead is not None
    verdict = evaluation.verdict
    assert verdict is not None
    return ReviewRequest(
        before=lead.files or candidate.files,
        after=candidate.files,
        description=candidate.description,
        rationale=candidate.rationale,
        changed=verdict.changed,
        facts=_facts(evaluation, verdict, lead, candidate),
        is_first_task=not lead.is_task,
        is_other_task=verdict.is_other_task,
    )


def _facts(
    evaluation: Evaluation, verdict: Verdict, lead: CandidateEvidence, candidate: Candidate
) -> tuple[str, ...]:
    """Return what is known of both sides, what decided first, a line each."""
    report, flags = evaluation.report, f"the new candidate's flags: {_listed(evaluation.flags)}"
    default_seeds = counted(len(evaluation.scores_by_seed), "default seed")
    if not lead.is_task:
        return (
            "measured: nothing; there was no task to compare with",
            f"score on the {default_seeds}: {_number(evaluation.score)}",
            f"solve rate there: {_share(report.solve_rate)}",
            f"episode length there, in steps: {_number(report.episode_length, 1)}",
            f"random play earns: {_number(report.random_return)}",
            flags,
        )
    scored = lead.scored
    before = scored.report if scored else Report()
    return (
        *_decided(verdict),
        f"score on the {default_seeds}, which chose both: "
        f"{_number(scored.score if scored else None)} -> {_number(evaluation.score)}",
        f"solve rate there: {_share(before.solve_rate)} -> {_share(report.solve_rate)}",
        f"solve rate over all seeds measured: {_share(lead.solve_rate)} -> "
        f"{_share(_solved(evaluation.seeds))}",
        f"episode length there, in steps: {_number(before.episode_length, 1)} -> "
        f"{_number(report.episode_length, 1)}",
        flags,
        f"the lead's flags: {_listed(scored.flags if scored else ())}",
        *_measured(evaluation, lead, candidate),
    )


def _measured(evaluation: Evaluation, lead: CandidateEvidence, candidate: Candidate) -> list[str]:
    """Return what differs between the environments and what does not."""
    horizon = other_horizon(evaluation, lead)
    lines = [f"measured: {line}" for line in rulers.sentences(evaluation.seeds, horizon=horizon)]
    if equal := rulers.equal_parts(evaluation.seeds):
        lines.append(f"measured to be equal: {equal}")
    elif not rulers.comparisons(evaluation.seeds):
        if not has_environment(candidate.files.env):
            return lines  # in the user's world nothing can differ
        is_same = lead.files and rulers.same_environment(lead.files, candidate.files)
        how = (
            "the environment's code is the same" if is_same else "the environments were not played"
        )
        lines.append(f"nothing was compared: {how}")
    return lines


def _decided(verdict: Verdict) -> list[str]:
    """Return what the verdict rests on."""
    if verdict.stage != "seeds":
        return [f"verdict: {verdict.reason}"]
    return [f"gain over the lead so far: {verdict.gain_text} (± is the standard error)"]


def _solved(seeds: Sequence[SeedResult]) -> float | None:
    rates = [seed.solve_rate for seed in seeds if seed.solve_rate is not None]
    return statistics.fmean(rates) if rates else None


def _listed(flags: Sequence[str]) -> str:
    return "; ".join(flags) or "none"


def _number(value: float | None, digits: int = 4) -> str:
    return "unknown" if value is None else f"{value:.{digits}f}"


def _share(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.0%}"


def reviewed(outcome: Outcome, review: Review | NoReview, n: int, rules: Rules) -> Outcome:
    """Return the outcome of a challenger that would be adopted, once it was reviewed.

    A missing review delays nothing, except that another task needs one.

    Args:
        outcome: a keep, or a new lead.
        review: the reviewer's answer.
        n: the experiment.
        rules: the numbers of the configuration.
    """
    verdict = outcome.evaluation.verdict
    assert verdict is not None
    outcome = replace(outcome, review=review)
    if isinstance(review, Review) and review.opinion.value in rules.review_veto:
        reason = f"vetoed by the reviewer {review.by}, {review.opinion}: {review.reason}"
        return replace(outcome, status=Status.REJECTED, reason=f"{reason} ({outcome.reason})")
    if not verdict.is_other_task:
        return outcome
    if isinstance(review, Review) and review.opinion is Opinion.EARNED:
        reason = f"kept, and opens a new epoch: {outcome.reason}; the reviewer: {review.reason}"
        return replace(outcome, reason=reason)
    why = (
        f"the reviewer is not sure: {review.reason}"
        if isinstance(review, Review)
        else (f"no review: {review.reason}" if review.reason else "no reviewer is configured")
    )
    reason = (
        f"discarded: {outcome.reason}; it needs a reviewer's consent ({why}), or yours: "
        f"`autorl-daemon accept {n}`"
    )
    evaluation = replace(
        outcome.evaluation, verdict=replace(verdict, status=Status.DISCARD, reason=reason)
    )
    return replace(outcome, status=Status.DISCARD, reason=reason, evaluation=evaluation)
