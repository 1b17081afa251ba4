"""One reply is one proposal: a draft is never applied together with the answer."""

import pytest

from orchestrator.core.records import ENV_PATH, Files
from tests.proposals.test_reply import (
    ENV,
    LR_BLOCK,
    NEW_ENV,
    NEW_TRAIN,
    block,
    code_of,
    read,
    whole,
)

ANSWER = f"description: lr only\n\n{whole(body=LR_BLOCK, info='python')}"
EDIT = whole(ENV_PATH, block("WIDTH = 5\n", "WIDTH = 4096\n"), info="python")
DRAFT = f"description: widen\n\n{EDIT}"

# What stands before a draft, and between it and the answer.
MARKS = {
    "a close amid a line": ("Hmm.\n", " so done.</think> Here is the edit:\n\n"),
    "a close amid a line, after a line": ("Hmm.\n", "\nSo: done.</think>Okay.\n\n"),
    "a close at the end of a sentence": ("Hmm.\n", "\n[/THINK]Okay.\n\n"),
    "a close in bold": ("Hmm.\n", "\n**</think>**\n\n"),
    "a close and a path alone": ("candidate/env.py\n\nNo.\n", "\nDone.</think> Okay.\n\n"),
    "two closes amid lines": ("Hmm.\n", "\nI end it with </think> now.</think> Okay.\n\n"),
    "an opener amid a line": ("Okay, let me see. <think>\n", "\nDone. </think> Here:\n\n"),
    "an opener amid a line, closed apart": ("Okay, hm. <think> ", "\n</think> Here:\n\n"),
    "details amid the reply": (
        'Hm.\n<details type="reasoning" done="true">\n<summary>', "\n</details>\n",
    ),
    "details twice": (
        '<details type="reasoning">\nhm\n</details>\n<details type="reasoning">\n', "\n</details>\n",
    ),
    "details, other attributes first": ("<details done='true' type='reasoning'>\n", "\n</details>\n"),
    "details, no quotes": ("<details open type=reasoning>\n", "\n</details>\n"),
    "details with a summary": ("<details><summary>Thinking</summary>\n", "\n</details>\n"),
    "details with a summary below": (
        "<details>\n<summary>💭 Thoughts (12 s)</summary>\n", "\n</details>\n",
    ),
    "doubao": ("<think_never_used_51bce0c785ca2f68081bfa7d91973934>\n",
               "\n</think_never_used_51bce0c785ca2f68081bfa7d91973934>\n"),
    "doubao, other brackets": ("‹think_never_used_51bc›\n", "\n‹/think_never_used_51bc›\n"),
    "gemini": ("<ctrl94>thought\n", "\n<ctrl95>"),
    "s1": ("<|im_start|>think\n", "\n<|im_start|>answer\n"),
    "solar": ("<|begin|>assistant<|think|>\n", "\n<|end|><|begin|>assistant<|content|>"),
    "solar, an end alone": ("<|think|>\n", "\n<|end|>\n"),
    "solar, ends alone": ("", "\n<|end|><|begin|>assistant<|content|>Okay.\n\n"),
    "minimax": ("<mm:think>\n", "\n</mm:think>\n"),
    "inner thought": ("<inner_thought>\n", "\n</inner_thought>\n"),
    "thinking process": ("<thinking_process>\n", "\n</thinking_process>\n"),
    "reasoning content": ("<reasoning_content>\n", "\n</reasoning_content>\n"),
    "redacted thinking": ("<redacted_thinking>\n", "\n</redacted_thinking>\n"),
    "ollama": ("Thinking...\n", "\n...done thinking.\n\n"),
    "closed by another name": ("<think>\n", "\n</thinking>\n"),
    "closed by a shorter name": ("<thinking>\n", "\n</think>\n"),
    "closed by another kind": ("<think>\n", "\n[/THINK]\n"),
    "another name, and tags within": ("<think>\n<plan>\nhm\n</plan>\n", "\n</thinking>\n"),
}  # fmt: skip
THOUGHTS = {"described": DRAFT, "not described": f"I could widen it.\n\n{EDIT}", "none": "Hm.\n"}


@pytest.mark.parametrize("thought", THOUGHTS.values(), ids=list(THOUGHTS))
@pytest.mark.parametrize("marks", MARKS.values(), ids=list(MARKS))
def test_answer_alone_is_applied(marks: tuple[str, str], thought: str) -> None:
    """In these marks a draft is told from the answer, and the answer is used as it is."""
    begin, end = marks
    proposal = read(f"{begin}{thought}{end}{ANSWER}")
    assert (proposal.files, proposal.description) == (Files(ENV, NEW_TRAIN), "lr only")


@pytest.mark.parametrize("marks", MARKS.values(), ids=list(MARKS))
def test_marks_in_a_file_are_code(marks: tuple[str, str]) -> None:
    """A candidate's file may hold any of them, on lines of their own too."""
    begin, end = marks
    body = f"{NEW_TRAIN}\nMARKS = '''\n{begin}hm{end}\n'''\n"
    proposal = read(f"description: x\n\n{whole(ENV_PATH, NEW_ENV)}\n{whole(body=body)}")
    assert (proposal.files, proposal.description) == (Files(NEW_ENV, body), "x")


MENTIONS = {
    "in the rationale": "description: x\nrationale: drops </think> tags\n\n{env}\n{train}",
    "in the description": "description: drops </think> tags\n\n{env}\n{train}",
    "after the edits": "description: x\n\n{env}\n{train}\nIt drops </think> tags.\n",
    "quoted between": "description: x\n\n{env}\nIt drops `</think>` tags.\n\n{train}",
    "opened between": "description: x\n\n{env}\nIt drops <think>x</think> here.\n\n{train}",
    "edits folded away": "description: x\n\n<details>\n<summary>Code</summary>\n\n{env}\n{train}\n</details>",
    "edits folded away, each": "description: x\n\n<details>\n\n{env}\n</details>\n\n<details>\n\n{train}\n</details>",
    "an end of the template": "description: x\n\n{env}\n{train}<|end|>",
    "ends of the template": "description: x\n<|end|>\n{env}\n{train}<|end|>",
}


@pytest.mark.parametrize("text", MENTIONS.values(), ids=list(MENTIONS))
def test_both_edits_are_applied(text: str) -> None:
    """A mention of a tag takes away no half of a reply, nor do marks that serve other things."""
    files = read(text.format(env=whole(ENV_PATH, NEW_ENV), train=whole())).files
    assert files == Files(NEW_ENV, NEW_TRAIN)


def test_close_between_two_edits_is_refused() -> None:
    """Without the answer's own description, the first edit may be a half of it or a draft."""
    assert code_of(f"{DRAFT}\nDone.</think> Okay.\n\n{whole()}") == "ambiguous"


UNMARKED = {
    "second thought": f"{DRAFT}\nOn second thought:\n\n{ANSWER}",
    "no words between": f"{DRAFT}{ANSWER}",
    "options": f"Option A\n{DRAFT}\nOption B (chosen)\n\n{ANSWER}",
    "a draft without a description": f"I could widen it.\n\n{EDIT}\nNo.\n\n{ANSWER}",
    "in bold": f"{DRAFT}\n**Description:** lr only\n\n{whole(body=LR_BLOCK)}",
    "of the same file": f"{DRAFT}\nOr:\n\n{DRAFT.replace('4096', '2048')}",
    "of whole files": f"{DRAFT}\nOr:\n\ndescription: x\n\n{whole()}",
    "in marks nobody knows": f"<<hm>>\n{DRAFT}\n<<so>>\n{ANSWER}",
    "an illustration between": f"{DRAFT}\n```\nx\n```\n\n{ANSWER}",
    "two final messages": f"<|channel|>final<|message|>{DRAFT}<|end|><|start|>assistant<|channel|>final"
    f"<|message|>{ANSWER}",
    "details nobody knows": f"<details><summary>Musings</summary>\n{DRAFT}\n</details>\n{ANSWER}",
    "a mark nobody knows before the description": f"{DRAFT}\n<<so>>{ANSWER}",
    "quoted tags": f"`<think>`{DRAFT}\n`</think>`{ANSWER}",
    "words before the description": f"{DRAFT}\nOption B: {ANSWER}",
    "a number before the description": f"1. {DRAFT}\n2. {ANSWER}",
    "three": f"{DRAFT}\n{ANSWER}\n{DRAFT}",
}


@pytest.mark.parametrize("text", UNMARKED.values(), ids=list(UNMARKED))
def test_two_proposals_are_refused(text: str) -> None:
    """Where nothing says what is a draft, neither is used, and the agent is told what to do."""
    assert code_of(text) == "ambiguous"


ONE = {
    "described before": f"description: x\n\n{whole(ENV_PATH, NEW_ENV)}\n{whole()}",
    "described after": f"{whole(ENV_PATH, NEW_ENV)}\nand\n\n{whole()}\ndescription: x\n",
    "a description mentioned": f"description: x\n\n{whole(ENV_PATH, NEW_ENV)}\n"
    f"As the description says, and `description:` is a field.\n\n{whole()}",
    "words between": f"description: x\n\n{whole(ENV_PATH, NEW_ENV)}\nrationale: y\n\n{whole()}",
    "described in a file": "description: x\n\n"
    + whole(ENV_PATH, f'"""\ndescription: a file\n"""\n{NEW_ENV}')
    + f"\n{whole()}",
    "described in an illustration": f"description: x\n\n{whole(ENV_PATH, NEW_ENV)}\n"
    f"Not\n```\ndescription: z\n```\n\n{whole()}",
}


@pytest.mark.parametrize("text", ONE.values(), ids=list(ONE))
def test_two_files_may_be_one_proposal(text: str) -> None:
    """Both files are changed by a reply with one description, wherever that stands."""
    proposal = read(text)
    assert proposal.description == "x"
    assert proposal.files.env.endswith(NEW_ENV)
    assert proposal.files.train == NEW_TRAIN


def test_two_descriptions_before_one_edit_are_one_proposal() -> None:
    """The description is repeated by some: the first one counts, and there is one edit."""
    proposal = read(f"description: mine\n\n{ANSWER}")
    assert (proposal.files, proposal.description) == (Files(ENV, NEW_TRAIN), "mine")
