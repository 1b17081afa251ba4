"""The lines of `status`, made from its document."""

import shlex
from collections.abc import Mapping
from typing import Any

from orchestrator.core.clock import local_with_zone
from orchestrator.core.text import counted, harmless, one_line, percent
from orchestrator.reporting.bill import bill_lines
from orchestrator.reporting.changed import edited_note
from orchestrator.reporting.run_view import SATURATED, number_text, with_half

_MEASURED = {"baseline": "measuring the baseline", "reference": "measuring #{} anew"}
"""What is measured, by the kind of its lane; anything else is an experiment."""


def status_lines(document: Mapping[str, Any]) -> list[str]:
    """Return the lines of `status`."""
    if document["running"]:
        first = f"running   pid {document['pid']}, {document['phase']}"
        if document["hung"]:
            first += (
                f"  HUNG: no heartbeat since {local_with_zone(str(document['heartbeat_at']))}; if "
                f"it stays so, `kill -9 {document['pid']}` and `{_start(document['tag'])}`"
            )
    else:
        why = one_line(document["stop_reason"] or "", 1000)
        first = f"stopped   {why or _no_reason(document)}"
    lines = [first]
    if document["reason"] and document["running"]:
        next_try = document["next_try_at"]
        then = f", next try {local_with_zone(next_try)}" if next_try else ""
        cure = "; `autorl-daemon resume` continues" if document["phase"] == "paused" else ""
        lines.append(f"          {one_line(document['reason'], 1000)}{then}{cure}")
    if document["requests"]:
        when = "after what is in flight" if document["running"] else "at the next start"
        lines.append(f"asked for {', '.join(document['requests'])}, {when}")
    if document["running"]:
        lines += [*_lane_lines(document), *_stand_ins(document)]
    if document["world"]:
        lines.append("task      the world in task/world.py, which no candidate can touch")
    if document["branch"]:
        lines += _run_lines(document)
    lines += _config_lines(document["config_cures"])
    if document["candidate_edited"]:
        lines.append(f"edited    {edited_note(document['tag'])}")
    lines += [f"sandbox   {document['sandbox']}", f"workspace {document['workspace']}"]
    if document["moved_from"]:
        cure = (
            "`autorl-daemon stop --now`, then start it here: it still writes there"
            if document["running"]
            else "the next start takes note"
        )
        lines.append(f"moved     from {document['moved_from']}: {cure}")
    return harmless(lines)


def _config_lines(cures: Mapping[str, str]) -> list[str]:
    """Return what has changed in `config.yaml`, a line for each cure."""
    keys: dict[str, list[str]] = {}
    for key, cure in cures.items():
        keys.setdefault(cure, []).append(key)
    return [
        f"config    changed in config.yaml: {', '.join(changed)}: {cure}"
        for cure, changed in keys.items()
    ]


def _lane_lines(document: Mapping[str, Any]) -> list[str]:
    """Return what is in flight: with several lanes a line each, the oldest first."""
    lanes = document["lanes"]
    if len(lanes) > 1:
        return [f"now       {_lane(lane)}" for lane in lanes]
    if document["experiment"] is None:
        return []
    what = one_line(document["description"] or "")
    return [f"now       #{document['experiment']} {what}{_progress(document)}".rstrip()]


def _stand_ins(document: Mapping[str, Any]) -> list[str]:
    """Return why other agents are asked than those whose turn it is."""
    said = {lane["stand_in"]: lane["agent"] for lane in document["lanes"] if lane.get("stand_in")}
    return [f"agent     {agent}, for {one_line(why, 500)}" for why, agent in said.items()]


def _lane(lane: Mapping[str, Any]) -> str:
    """Return one lane: its experiment, phase, what is tried, and how far the training is."""
    number = f"#{lane['experiment']} " if lane["experiment"] else ""
    what = one_line(lane["description"] or "") or (
        "" if lane["experiment"] else "the next experiment"
    )
    return f"{number}{lane['phase']}{': ' if what else ''}{what}{_progress(lane)}"


def _progress(facts: Mapping[str, Any]) -> str:
    progress = facts["progress"]
    return f" ({progress['done']} of {progress['total']} episodes)" if progress else ""


def activity(document: Mapping[str, Any]) -> str:
    """Return what is being done, as in `measuring the baseline: seed 1 of 2, episode 6 of 12`.

    Args:
        document: that of `status`; a heartbeat of version 0.1 says less.
    """
    n, progress = document["experiment"], document["progress"] or {}
    if document["reason"]:
        return one_line(document["reason"])
    if n is None:
        is_asking = document["phase"] == "proposing"
        return "asking the agent for the next experiment" if is_asking else str(document["phase"])
    what = _MEASURED.get(document["kind"] or "", "experiment {}").format(n)
    episode, episodes = progress.get("episode"), progress.get("episodes")
    if episode is None:
        is_starting = "seeds" in progress and document["phase"] == "evaluating"
        return f"{what}: {'starting' if is_starting else document['phase']}"
    if document["kind"] in _MEASURED:
        seeds, done = progress["seeds"], progress["seeds_done"]
        return f"{what}: seed {min(done + 1, seeds)} of {seeds}, episode {episode} of {episodes}"
    seed = progress["seed"]
    if episode >= episodes:
        return f"{what}: evaluating seed {seed}"
    return f"{what}: training seed {seed}, episode {episode} of {episodes}"


def _no_reason(document: Mapping[str, Any]) -> str:
    if not document["tag"]:
        return "nothing has run here yet"
    return f"the daemon was killed: `{_start(document['tag'])}` resumes it"


def _start(tag: object) -> str:
    return f"autorl-daemon start --tag {shlex.quote(str(tag))}"


def _run_lines(document: Mapping[str, Any]) -> list[str]:
    rung = document["rung"]
    counts = ", ".join(f"{count} {status}" for status, count in document["experiments"].items())
    lines = [
        f"branch    {document['branch']}",
        f"budget    {rung['train_episodes']}/{rung['eval_episodes']} "
        "(training/evaluation episodes a seed)",
        *_published(document),
        *_lead(document),
        f"score     {number_text(document['best_score'])} published, "
        f"{number_text(document['baseline_score'])} baseline at this budget (default seeds)",
        f"so far    {counts or 'no experiments'}",
    ]
    if last := document["last"]:
        what = one_line(last["description"], 100)
        lines.append(
            f"last      #{last['experiment']} {last['status']}, {last['score_text']}: {what}"
        )
    lines += [f"flagged   {flag} (published)" for flag in document["incumbent_flags"]]
    if document["incumbent_review"]:
        lines.append(f"review    {one_line(document['incumbent_review'], 500)} (published)")
    if seconds := document["seconds"]:
        lines.append(
            f"time      {seconds['agent']:,.0f} s agent, {seconds['evaluator']:,.0f} s evaluator, "
            f"{document['reference_seconds']:,.0f} s of it for fresh seeds of lead and published"
        )
    if document["saturated"]:
        lines.append(f"note      {SATURATED}")
    return lines + bill_lines(document)


def _published(document: Mapping[str, Any]) -> list[str]:
    """Return the line on the published candidate: what it is worth, and why it is published."""
    if document["incumbent"] is None:
        return ["published nothing yet"]
    return [f"published #{document['incumbent']}: {_worth(document)} ({_why(document)})"]


def _worth(document: Mapping[str, Any]) -> str:
    if document["validated_score"] is None:
        return "not measured on fresh seeds at this budget yet"
    _, high = document["validated_interval"]
    return with_half(document["validated_score"], high)


def _why(document: Mapping[str, Any]) -> str:
    """Return why the candidate is published, and on how many seeds its worth rests."""
    seeds = counted(document["validated_seeds"], "seed") if document["validated_seeds"] else ""
    if document["incumbent_accepted_at"]:
        why = "accepted by you, not proven"
    elif document["incumbent_proven_at"]:
        why = "proven"
    else:
        why = "where the run began" if not document["experiments"].get("keep") else "kept"
    return ", ".join(filter(None, [why, seeds]))


def _lead(document: Mapping[str, Any]) -> list[str]:
    """Return the lines on the lead and its trial, none where the published candidate leads."""
    if (lead := document["lead"]) is None:
        return []
    line = f"lead      #{lead['experiment']}: {_gain(lead)}"
    if (trial := document["trial"]) is None:
        return [line]
    return [
        line,
        f"trial     look {trial['look']} of {trial['looks']} is next (at "
        f"{counted(trial['seeds_needed'], 'seed')} of the lead), {percent(trial['chance'])} likely "
        "to be proven in the end",
    ]


def _gain(lead: Mapping[str, Any]) -> str:
    """Return the estimated gain of the lead as a person says it."""
    if lead["gain"] is None:
        return "not compared with the published candidate yet"
    what = "" if lead["quantity"] == "return" else f" {lead['quantity']}"
    seeds = counted(lead["seeds"], "seed") + ("" if lead["fresh"] else " that chose it")
    likely = f"{percent(lead['probability_better'])} likely better"
    return f"about {lead['gain']:+.4f}{what} ± {lead['se']:.4f} ({likely}, {seeds})"
