"""What a model thinks before it answers is no answer, in whatever marks it comes."""

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.core.errors import EditError
from orchestrator.core.records import Attempt, Files, Reply, Rung
from orchestrator.proposals.brief import Brief
from orchestrator.proposals.prompt import build_messages
from orchestrator.proposals.reasoning import answer_of
from orchestrator.proposals.reply import MAX_REPLY_CHARS, describe, read_reply
from tests.conftest import DATA
from tests.proposals.test_reply import (
    CURRENT,
    ENV,
    LR_BLOCK,
    NEW_TRAIN,
    TRAIN,
    block,
    code_of,
    read,
    whole,
)

ANSWER = f"description: faster\nrationale: because\n\n{whole(body=LR_BLOCK)}"
DRAFT = f"description: a draft\n\n{whole('candidate/env.py', ENV.replace('5', '4096'))}"
UNCLOSED = "description: a draft\n\nThe code is\n```python\nLR = 1\nwhat if"
UNCLOSED_EDIT = "candidate/train.py\n```python\nLR = 1\nwhat if"
PATH_ALONE = "Which file?\n\ncandidate/env.py\n\nNo: the policy."
REMARK = "Not `that`. Should I say widen?"

MARKS = {
    "think": ("<think>\n", "\n</think>\n\n"),
    "no line ends": ("<think>", "</think>"),
    "capitals": ("<THINK>\n", "\n</THINK>\n"),
    "thinking": ("<thinking>\n", "\n</thinking>\n"),
    "reasoning": ("<reasoning>\n", "\n</reasoning>\n"),
    "thought": ("<thought>\n", "\n</thought>\n"),
    "reflection": ("<reflection>\n", "\n</reflection>\n"),
    "scratchpad": ("<scratchpad>\n", "\n</scratchpad>\n"),
    "seed": ("<seed:think>", "</seed:think>"),
    "attributes": ('<think duration="3">\n', "\n</think>\n"),
    "closing tag only": ("", "\n</think>\n\n"),
    "closing tag only, after a sentence": ("", " So be it.</think>"),
    "after a byte order mark": ("\ufeff<think>\n", "\n</think>\n"),
    "after a greeting": ("Sure!\n<think>\n", "\n</think>\n"),
    "after the template": ("<|im_start|>assistant\n<think>\n", "\n</think>\n"),
    "after a token": ("<s><think>\n", "\n</think>\n"),
    "empty, then closing tag only": ("<think>\n\n</think>\n", "\n</think>\n"),
    "twice": ("<think>\nfirst\n</think>\n<think>\n", "\n</think>\n"),
    "nested": ("<think>\n<think>\nfirst\n</think>\n", "\n</think>\n"),
    "other tags inside": ("<thinking>\n<reflection>\nhm\n</reflection>\n", "\n</thinking>\n"),
    "closing tag mentioned": ("<think>\nI must write </think> before I answer\n", "\n</think>\n"),
    "closing tag quoted": ("<think>\nI must write `</think>`\n", "\n</think>\n"),
    "quotes before the end": ("<think>\n", " I say `faster`</think>\n"),
    "windows": ("<think>\r\n", "\r\n</think>\r\n"),
    "mistral": ("[THINK]", "[/THINK]"),
    "kimi": ("◁think▷", "◁/think▷"),
    "cohere": ("<|START_THINKING|>", "<|END_THINKING|><|START_RESPONSE|>"),
    "thoughts and solution": (
        "<|begin_of_thought|>\n", "\n<|end_of_thought|>\n\n<|begin_of_solution|>\n",
    ),
    "gemma": ("<|channel>thought\n", "<channel|>"),
    "details": ('<details type="reasoning" done="true">\n<summary>', "</details>\n"),
    "sentences": ("Here is my thought process:\n", "\nHere is my response:\n"),
    "harmony": (
        "<|channel|>analysis<|message|>",
        "<|end|><|start|>assistant<|channel|>final<|message|>",
    ),
    "harmony from its beginning": (
        "<|start|>assistant<|channel|>analysis<|message|>",
        "<|end|><|start|>assistant<|channel|>final <|constrain|>json<|message|>",
    ),
    "harmony without its beginning": (
        "", "<|end|><|start|>assistant<|channel|>final<|message|>",
    ),
    "harmony's commentary": (
        "<|channel|>analysis<|message|>hm<|end|><|start|>assistant<|channel|>commentary<|message|>",
        "<|end|><|start|>assistant<|channel|>final<|message|>",
    ),
    "harmony without a final channel": (
        "<|channel|>analysis<|message|>", "<|end|><|start|>assistant<|message|>",
    ),
    "harmony bare": ("analysisWe need ", "assistantfinal"),
    "harmony bare and split": ("analysis\n", "\nassistantfinal\n\n"),
    "harmony barest": ("", " Go.assistantfinal"),
}  # fmt: skip
THOUGHTS = {
    "a draft": DRAFT,
    "an unclosed fence": UNCLOSED,
    "an unclosed edit": UNCLOSED_EDIT,
    "a path alone": PATH_ALONE,
    "a remark": REMARK,
}


@pytest.mark.parametrize("thought", THOUGHTS.values(), ids=list(THOUGHTS))
@pytest.mark.parametrize("marks", MARKS.values(), ids=list(MARKS))
def test_reasoning_is_no_answer(marks: tuple[str, str], thought: str) -> None:
    """Nothing of the reasoning is used, and the answer after it is, with its own description."""
    begin, end = marks
    proposal = read(f"{begin}{thought}{end}{ANSWER}")
    assert proposal.files == Files(ENV, NEW_TRAIN)
    assert (proposal.description, proposal.rationale) == ("faster", "because")


@pytest.mark.parametrize("thought", THOUGHTS.values(), ids=list(THOUGHTS))
@pytest.mark.parametrize(
    "marks", [marks for marks in MARKS.values() if marks[0]], ids=[m for m in MARKS if MARKS[m][0]]
)
def test_reasoning_without_an_end_holds_no_answer(marks: tuple[str, str], thought: str) -> None:
    """A reply that ends within its reasoning changes nothing, however complete its drafts are."""
    begin, _ = marks
    if begin.startswith(("Here is", "analysis\n")) or "</" in begin:
        return  # not recognised as reasoning without their ends
    with pytest.raises(EditError, match="reasoning") as caught:
        read(begin + thought)
    assert caught.value.code == "truncated"


@pytest.mark.parametrize("end", ["</think>", "\n</think>\n\n", "[/THINK]", "◁/think▷ "])
def test_nothing_after_the_reasoning(end: str) -> None:
    """A draft is not used because there is nothing else."""
    assert code_of(DRAFT + end) == "empty"


@pytest.mark.parametrize(
    "end",
    ["</s>", "<|im_end|>", "<|return|>", "<|END_RESPONSE|>", "</answer>", "\n</output>\n",
     "<｜end▁of▁sentence｜>", "\n<|end_of_solution|>", "<|end|>", "</answer><|im_end|>"],
)  # fmt: skip
def test_tokens_after_the_answer_are_dropped(end: str) -> None:
    """The template's last token does not spoil the fence that it stands behind."""
    assert read(ANSWER.rstrip() + end).files.train == NEW_TRAIN


@pytest.mark.parametrize(
    ("begin", "end"),
    [("<answer>", "</answer>"), ("<|begin_of_box|>", "<|end_of_box|>"), ("<|START_RESPONSE|>", ""),
     ("<|im_start|>assistant\n", "<|im_end|>"), ("\n<output>\n", "\n</output>\n")],
)  # fmt: skip
@pytest.mark.parametrize("before", ["", "<think>hm</think>"], ids=["alone", "after thinking"])
def test_answer_may_be_tagged(begin: str, end: str, before: str) -> None:
    """A mark around the answer is no part of its first line."""
    assert read(f"{before}{begin}{ANSWER.rstrip()}{end}").description == "faster"


def test_reasoning_may_come_amid_the_answer() -> None:
    """Reasoning that begins on a line of its own is dropped wherever it stands."""
    head, _, edit = ANSWER.partition("candidate/train.py")
    text = f"{head}<think>\n{DRAFT}\n</think>\ncandidate/train.py\n<think>\nhm\n</think>{edit}"
    proposal = read(text)
    assert (proposal.files, proposal.description) == (Files(ENV, NEW_TRAIN), "faster")


CODE = [
    "<think>",
    "</think>",
    "<think>\nx\n</think>",
    "</think>\n<think>",
    "[THINK]",
    "◁/think▷",
    "<|channel|>analysis<|message|>",
    "assistantfinal",
    "</think>\n\ndescription: wrong\n\n",
]


@pytest.mark.parametrize("code", CODE)
@pytest.mark.parametrize("before", ["", "<think>\nhm\n</think>\n"], ids=["alone", "after thinking"])
def test_tags_in_code_are_code(code: str, before: str) -> None:
    """A candidate may hold such a tag: in a fenced block it is text, on a line of its own too."""
    body = f"{NEW_TRAIN}\nMARKS = '''\n{code}\n'''\n"
    proposal = read(f"{before}description: faster\n\n{whole(body=body, info='python')}")
    assert (proposal.files.train, proposal.description) == (body, "faster")


@pytest.mark.parametrize("code", CODE)
def test_tags_in_replacements_are_code(code: str) -> None:
    """Likewise in a SEARCH/REPLACE block."""
    new = f"LR = 2\nMARKS = '''\n{code}\n'''\n"
    text = f"description: faster\n\n{whole(body=block('LR = 1' + chr(10), new))}"
    assert read(text).files.train == TRAIN.replace("LR = 1\n", new)


def test_tags_in_an_illustration_are_text() -> None:
    """A fenced example with both tags is no reasoning."""
    example = "Such a reply:\n```\n<think>\nhm\n</think>\nyes\n```\n"
    proposal = read(f"description: faster\n\n{example}\n{whole()}")
    assert (proposal.files.train, proposal.description) == (NEW_TRAIN, "faster")


@pytest.mark.parametrize(
    "words",
    [
        "strips <think> tags",
        "strips `<think>` and `</think>`",
        'the text "</think>" is no end',
        "what stands in <think>…</think> is dropped",
        "it closes <think>x</think>",
        "a </think> amid a line",
        "the analysis channel, then assistantfinal",
        "the token <|channel|> is unused",
    ],
)
def test_tags_quoted_in_a_line_are_prose(words: str) -> None:
    """A mention of a tag does not eat the answer."""
    proposal = read(f"description: {words}\nrationale: {words}\n\n{whole()}")
    assert proposal.files.train == NEW_TRAIN
    assert (proposal.description, proposal.rationale) == (words, words)


def test_closing_tag_in_an_illustration_is_refused() -> None:
    """Where nobody can say what was a draft, nothing is used."""
    assert code_of(f"{whole()}\nThe code is\n```\nLR\n</think>\nno\n```\n") == "ambiguous"


@pytest.mark.parametrize("marks", MARKS.values(), ids=list(MARKS))
def test_description_is_the_answers_in_a_refused_reply_too(marks: tuple[str, str]) -> None:
    """A reply that can't be used is still named by its answer, not by its reasoning."""
    begin, end = marks
    assert describe(f"{begin}{DRAFT}{end}description: mine\n\nno edit") == "mine"


def test_description_of_endless_reasoning_is_empty() -> None:
    """Reasoning names no experiment."""
    assert describe(f"<think>\n{DRAFT}") == ""


def test_repair_prompt_holds_no_reasoning() -> None:
    """The agent gets back what it answered, not pages of what it thought."""
    attempts = [Attempt(f"<think>{REMARK * 999}</think>\n{ANSWER}", "no")]
    brief = Brief(1, "", CURRENT, Rung(12, 8), 1, attempts=attempts)
    said = build_messages(brief, context_tokens=30_000)[-2]
    assert (said.role, said.content) == ("assistant", ANSWER.strip())


@pytest.mark.parametrize(
    "text",
    [
        "<think>" * 9_000,
        "</think>\n" * 9_000,
        "<think>\na</think>b\n" * 4_000,
        "```\n</think>\n```\n" * 9_000,
        "candidate/train.py\n```\nx = '''\n</think>\n```\n" * 9_000,
        "<think " * 300_000,
        "<s>" * 600_000 + "<think>",
        "x" * 2_000_000 + "<think>" * 9_000,
        " " * 2_000_000 + "</think>",
        "<|start|>assistant<|channel|>" * 70_000,
        "analysis" * 200_000,
        "assistantfinal" * 100_000,
        "</answer> " * 200_000,
        "<|a|>" * 400_000,
        "\n" * 2_000_000 + "<think>",
        "<think>" * 20_000,
        "<" + "think" * 400_000,
        "<thinkthinkthinkthinkthink" * 80_000,
        "<details>\n" * 200_000,
        "<details type=" * 150_000,
        "<think>\n</thinking>\n" * 4_000,
        "<think>\n<plan>\n" * 4_000 + "</think>\n",
        "candidate/env.py\n" * 120_000 + "</think>",
        "description: x </think> y\n" * 9_000 + whole(),
        "description" * 180_000 + "</think>",
    ],
    ids=range(25),
)
def test_reasoning_is_found_in_linear_time(text: str) -> None:
    """No reply of the largest size keeps the daemon busy for long."""
    began = time.process_time()
    try:
        answer_of(text[:MAX_REPLY_CHARS])
    except EditError as error:
        assert error.code in {"truncated", "empty", "ambiguous"}  # noqa: PT017
    assert time.process_time() - began < 10


PIECES = [
    "<think>", "</think>", "[THINK]", "[/THINK]", "<|channel|>", "final", "<|message|>", "<|end|>",
    "assistantfinal", "analysis", "```", "````python", "\n", "\n\n", " ", "`", "candidate/train.py",
    "description: x", "LR = 1", block("LR = 1\n", "LR = 2\n"), ANSWER, DRAFT, "'''", "hm",
]  # fmt: skip


@settings(max_examples=200, deadline=None)
@given(st.lists(st.sampled_from(PIECES), max_size=12).map("".join))
def test_drafts_are_never_applied(text: str) -> None:
    """Whatever stands in it, reasoning that ends before the answer leaves only the answer."""
    thought = text.replace("</think>", "").replace("<|", "").replace("assistantfinal", "")
    proposal = read_reply(Reply(f"<think>\n{thought}\n</think>\n{ANSWER}"), CURRENT)
    assert (proposal.files, proposal.description) == (Files(ENV, NEW_TRAIN), "faster")


RECORDED = {
    "thinking-draft": ("lr 1e-2 only", "LR = 1e-2"),
    "thinking-1-same-place": ("lr 2e-2", "LR = 2e-2"),
    "thinking-2-unclosed-fence": ("lr 4e-3", "LR = 4e-3"),
    "thinking-3-path-alone": ("lr 6e-3", "LR = 6e-3"),
}


@pytest.mark.parametrize("name", RECORDED)
def test_replies_of_thinking_models_are_their_answers(name: str) -> None:
    """Replies as users met them: one constant changes, under the answer's own description."""
    text = (DATA / "replies" / f"{name}.md").read_text(encoding="utf-8")
    train = TRAIN.replace("LR = 1", "LR = 3e-3\nWIDTH = 8")
    description, line = RECORDED[name]
    proposal = read(text, Files(ENV, train))
    assert (proposal.description, proposal.rationale) == (description, "because")
    assert proposal.files == Files(ENV, train.replace("LR = 3e-3", line))
