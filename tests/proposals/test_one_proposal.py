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
    "three": f"{DRAFT}\n{ANSWER}\n{DRAFT}",
}


@pytest.mark.parametrize("text", UNMARKED.values(), ids=list(UNMARKED))
def test_two_proposals_are_refused(text: str) -> None:
    """Where nothing says what is a draft, neither is used, and the agent is told what to do."""
    assert code_of(text) == "ambiguous"


ONE = {
    "described before": f"description: x\n\n{whole(ENV_PATH, NEW_ENV)}\n{whole()}",
    "described after": f"{whole(ENV_PATH, NEW_ENV)}\nand\n\n{whole()}\ndescription: x\n",
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
