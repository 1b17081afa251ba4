"""From a reply to two files: what is taken, and the name of everything that is refused."""

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from orchestrator.core.errors import EditError
from orchestrator.core.records import CANDIDATE_PATHS, ENV_PATH, TRAIN_PATH, Files, Proposal, Reply
from orchestrator.proposals.candidate_code import MAX_FILE_BYTES, check_file, fingerprint
from orchestrator.proposals.reply import MAX_REPLY_CHARS, read_reply
from tests.conftest import DATA

ENV = "WIDTH = 5\n\n\ndef create_env(config, **options):\n    return WIDTH\n"
TRAIN = (
    "LR = 1\n\n\ndef build_policy(obs_space, action_space):\n    return LR\n\n\n"
    "def training_overrides(**facts):\n    return {}\n"
)
CURRENT = Files(ENV, TRAIN)
NEW_TRAIN = TRAIN.replace("LR = 1", "LR = 2")
NEW_ENV = ENV.replace("5", "7")


def read(text: str, current: Files = CURRENT) -> Proposal:
    return read_reply(Reply(text), current)


def code_of(text: str, current: Files = CURRENT, finish_reason: str = "stop") -> str:
    with pytest.raises(EditError) as caught:
        read_reply(Reply(text, finish_reason=finish_reason), current)
    assert str(caught.value)
    return caught.value.code


def whole(path: str = TRAIN_PATH, body: str = NEW_TRAIN, fence: str = "```", info: str = "") -> str:
    return f"{path}\n{fence}{info}\n{body}{fence}\n"


def block(search: str, replacement: str) -> str:
    return f"<<<<<<< SEARCH\n{search}=======\n{replacement}>>>>>>> REPLACE\n"


LR_BLOCK = block("LR = 1\n", "LR = 2\n")


# -- what is taken ---------------------------------------------------------------------------------


def test_whole_file_replaces_the_file() -> None:
    """A fenced block under a path is the whole new file; the other file stays."""
    assert read(whole()).files == Files(ENV, NEW_TRAIN)


def test_both_files_in_one_reply() -> None:
    """One reply may change both files, each in its own way."""
    text = f"{whole(ENV_PATH, NEW_ENV)}\nand\n\n{whole(body=LR_BLOCK)}"
    assert read(text).files == Files(NEW_ENV, NEW_TRAIN)


def test_description_and_rationale_are_read() -> None:
    """The two fields are taken from the prose, the rationale over several lines."""
    proposal = read(f"description: faster\nrationale: because\nit is\n\n{whole()}")
    assert (proposal.description, proposal.rationale) == ("faster", "because\nit is")


@pytest.mark.parametrize(
    "head",
    [
        "Description: faster\nRationale: because",
        "**description:** faster\n**rationale:** because",
        "**Description**: faster\n\n**Rationale**: because",
        "- description: faster\n- rationale: because",
        "## description: faster\n> rationale: because",
        "Sure!\ndescription: faster\nrationale:\nbecause",
    ],
)
def test_fields_may_be_decorated(head: str) -> None:
    """Fields are found in bold, in lists, in headings and in any case."""
    proposal = read(f"{head}\n\n{whole()}")
    assert (proposal.description, proposal.rationale) == ("faster", "because")


def test_fields_inside_a_file_are_not_the_replys() -> None:
    """A line of the new file that looks like a field is not taken for one."""
    body = f'"""\ndescription: wrong\nrationale: wrong\n"""\n{NEW_TRAIN}'
    proposal = read(whole(body=body))
    assert (proposal.description, proposal.rationale) == ("(no description)", "")


def test_fields_are_bounded() -> None:
    """An endless description or rationale is cut."""
    proposal = read(f"description: {'x' * 9999}\nrationale: {'y' * 99999}\n{whole()}")
    assert (len(proposal.description), len(proposal.rationale)) == (200, 4000)


@pytest.mark.parametrize(
    ("fence", "info"),
    [
        ("```", ""),
        ("```", "python"),
        ("```", " python title=x {.a}"),
        ("`````", "python"),
        ("~~~", ""),
        ("~~~~", "python `x`"),
        ("   ```", "python"),
        ("```", "text/x-python"),
        ("```", "python candidate/train.py"),
        ("```", "python:train.py"),
    ],
)
def test_fences_of_any_kind(fence: str, info: str) -> None:
    """Three or more backticks or tildes with any info string make a fence."""
    assert read(whole(fence=fence, info=info)).files.train == NEW_TRAIN


@pytest.mark.parametrize("fence", ["````", "~~~", "~~~~~"])
def test_fences_inside_the_file_do_not_close_it(fence: str) -> None:
    """A file that holds fences survives in a longer fence, or one of the other kind."""
    body = NEW_TRAIN + '\nHELP = """\n```python\nx\n```\n"""\n'
    assert read(whole(body=body, fence=fence)).files.train == body


def test_closing_fence_may_be_longer() -> None:
    """A fence is closed by one at least as long, as in CommonMark."""
    assert read(f"{TRAIN_PATH}\n```\n{NEW_TRAIN}`````\n").files.train == NEW_TRAIN


@pytest.mark.parametrize(
    "line",
    [
        "candidate/train.py",
        "`candidate/train.py`",
        "**candidate/train.py**",
        "**`candidate/train.py`**",
        "`candidate/train.py`:",
        "**candidate/train.py:**",
        "### candidate/train.py",
        "## `candidate/train.py`",
        "__candidate/train.py__",
        "  candidate/train.py  ",
        "candidate/train.py\n\n",
    ],
)
def test_path_may_be_decorated(line: str) -> None:
    """The path stands bare, in backticks, bold or a heading; blank lines may follow."""
    assert read(whole(line)).files.train == NEW_TRAIN


def test_windows_line_ends_in_the_reply_do_not_matter() -> None:
    """A reply with CRLF means the same as one with LF."""
    assert read(whole().replace("\n", "\r\n")).files == Files(ENV, NEW_TRAIN)


@pytest.mark.parametrize("body", [NEW_TRAIN, LR_BLOCK])
def test_windows_line_ends_of_the_file_are_kept(body: str) -> None:
    """A file with CRLF can be edited, and keeps its line ends."""
    current = Files(ENV, TRAIN.replace("\n", "\r\n"))
    assert read(whole(body=body), current).files.train == NEW_TRAIN.replace("\n", "\r\n")


def test_mixed_line_ends_become_newlines() -> None:
    """A file that mixes CRLF and LF can be edited too; it is all LF afterwards."""
    current = Files(ENV, TRAIN.replace("LR = 1\n", "LR = 1\r\n"))
    assert read(whole(body=LR_BLOCK), current).files.train == NEW_TRAIN


@pytest.mark.parametrize("body", [NEW_TRAIN, LR_BLOCK])
def test_old_mac_line_ends_of_the_file_are_kept(body: str) -> None:
    """Python ends lines at a CR alone, too: such a file can be edited, and keeps its line ends."""
    current = Files(ENV, TRAIN.replace("\n", "\r"))
    assert read(whole(body=body), current).files.train == NEW_TRAIN.replace("\n", "\r")


@pytest.mark.parametrize("body", [NEW_TRAIN, LR_BLOCK])
def test_byte_order_mark_of_the_file_is_kept(body: str) -> None:
    """A file that begins with a byte order mark is legal, can be edited from its first line on."""
    assert read(whole(body=body), Files(ENV, f"\ufeff{TRAIN}")).files.train == f"\ufeff{NEW_TRAIN}"


def test_byte_order_mark_of_a_new_file_is_kept() -> None:
    """A whole file that begins with one is taken to the letter."""
    assert read(whole(body=f"\ufeff{NEW_TRAIN}")).files.train == f"\ufeff{NEW_TRAIN}"


def test_byte_order_mark_alone_changes_nothing() -> None:
    """The code is the same with and without it."""
    assert code_of(whole(body=f"\ufeff{TRAIN}")) == "unchanged"
    assert fingerprint(Files(ENV, f"\ufeff{TRAIN}")) == fingerprint(CURRENT)


def test_byte_order_mark_of_the_reply_is_no_part_of_its_first_field() -> None:
    """A reply that begins with one keeps its description."""
    assert read(f"\ufeffdescription: faster\n\n{whole()}").description == "faster"


def test_reply_with_a_byte_order_mark_in_the_file_is_taken() -> None:
    """A reply as users met it, whose whole file begins with a byte order mark."""
    text = (DATA / "replies" / "byte-order-mark.md").read_text(encoding="utf-8")
    train = read(text).files.train
    assert train.startswith('\ufeff"""A small policy."""\n')
    check_file(TRAIN_PATH, train)


def test_file_of_the_largest_size_is_taken() -> None:
    """A file of exactly 256 KiB is no error."""
    body = f"{NEW_TRAIN}#{'x' * (256 * 1024 - len(NEW_TRAIN) - 2)}\n"
    assert len(body) == MAX_FILE_BYTES
    assert read(whole(body=body)).files.train == body


def test_illustrations_are_no_edits() -> None:
    """A fenced block that follows a sentence is left alone."""
    text = (
        f"The old line and/or its like (see https://a.b/c.py) at 12/8:\n```\nLR = 3\n```\n{whole()}"
    )
    assert read(text).files == Files(ENV, NEW_TRAIN)


@pytest.mark.parametrize("words", ["", "Here is my reply:\n\n"], ids=["alone", "after words"])
@pytest.mark.parametrize("body", [NEW_TRAIN, LR_BLOCK], ids=["whole", "block"])
@pytest.mark.parametrize(
    ("fence", "info"),
    [("````", "markdown"), ("````", ""), ("`````", "md"), ("~~~", "Markdown"), ("~~~~", " text")],
)
def test_reply_in_a_fence_is_unwrapped(fence: str, info: str, body: str, words: str) -> None:
    """Some models put the whole of their reply into one fence of Markdown."""
    text = f"description: faster\n\n{whole(ENV_PATH, NEW_ENV)}\n{whole(body=body, info='python')}"
    proposal = read(f"{words}{fence}{info}\n{text}{fence}\n")
    assert (proposal.files, proposal.description) == (Files(NEW_ENV, NEW_TRAIN), "faster")


WRAPPED = f"description: x\n\n{whole()}"
NOT_UNWRAPPED = {
    "twice": (f"`````\n````\n{WRAPPED}````\n`````\n", "path_missing"),
    "two of them": (f"````\n{WRAPPED}````\n````\n{WRAPPED}````\n", "path_missing"),
    "in another language": (f"````python\n{WRAPPED}````\n", "path_missing"),
    "not closed": (f"````\n{WRAPPED}", "truncated"),
    "no path": (f"````\nx\n```\n{NEW_TRAIN}```\n````\n", "path_missing"),
    "half of it": (f"````\n{WRAPPED}\n{ENV_PATH}\n````\n", "block_missing"),
    "another file": (f"````\n{WRAPPED}\n{whole('framework.py')}````\n", "path_not_allowed"),
    "two proposals": (f"````\n{WRAPPED}\n{WRAPPED}````\n", "ambiguous"),
}


@pytest.mark.parametrize(("text", "code"), NOT_UNWRAPPED.values(), ids=list(NOT_UNWRAPPED))
def test_fences_around_something_else(text: str, code: str) -> None:
    """One fence is taken away, around a whole reply; what stands within it is as strictly read."""
    assert code_of(text) == code


def test_file_that_holds_a_reply_is_a_file() -> None:
    """A path before the fence makes it an edit, whatever the file holds."""
    body = f"{NEW_TRAIN}\nHELP = '''\n{WRAPPED}\n'''\n"
    assert read(f"description: faster\n\n{whole(body=body, fence='````')}").files.train == body


@pytest.mark.parametrize(
    "line", ["Before", "Done.", "Example:", "---", "===", "", "e.g. nn.Tanh 0.5:"]
)
def test_lone_words_are_no_files(line: str) -> None:
    """A word above an illustration is not taken for a path."""
    assert read(f"{line}\n```\nx\n```\n\n{whole()}").files.train == NEW_TRAIN


def test_listed_paths_are_prose() -> None:
    """A bulleted list of the files changed is no half edit."""
    assert read(f"I change\n* candidate/train.py\n\nas follows.\n\n{whole()}").files.env == ENV


def test_prose_after_the_edit_is_allowed() -> None:
    """Words after the last block do not matter."""
    assert read(f"{whole()}\nI hope that helps: candidate/train.py is better now.").files.env == ENV


# -- SEARCH/REPLACE --------------------------------------------------------------------------------


REPLACED = {
    "first line": (TRAIN, "LR = 1\n", "LR = 2\n", NEW_TRAIN),
    "last line": (TRAIN, "    return {}\n", "    return 1\n", TRAIN.replace("{}", "1")),
    "middle": (TRAIN, "    return LR\n", "    return 1\n", TRAIN.replace("return LR", "return 1")),
    "no last newline": (TRAIN[:-1], "    return {}\n", "    return 1\n", TRAIN.replace("{}", "1")),
    "the whole file": (TRAIN, TRAIN, NEW_TRAIN, NEW_TRAIN),
    "more lines": (TRAIN, "LR = 1\n", "LR = 2\nX = 1\n", NEW_TRAIN.replace("2\n", "2\nX = 1\n")),
    "nothing": (f"{TRAIN}x = 1\ny = 2\n", "x = 1\n", "", f"{TRAIN}y = 2\n"),
    "blank lines": (f"{TRAIN}\n\nx = 1\n", "\n\nx = 1\n", "y = 1\n", f"{TRAIN}y = 1\n"),
    "no part of a line": (f"{TRAIN}LR = 10\nXLR = 1\n", "LR = 1\n", "LR = 2\n",
                          f"{NEW_TRAIN}LR = 10\nXLR = 1\n"),
    "indented alike": (f"{TRAIN}if LR:\n    LR = 1\n", "    LR = 1\n", "    LR = 2\n",
                       f"{TRAIN}if LR:\n    LR = 2\n"),
}  # fmt: skip


@pytest.mark.parametrize(
    ("old", "search", "replacement", "new"), REPLACED.values(), ids=list(REPLACED)
)
def test_search_text_is_replaced(old: str, search: str, replacement: str, new: str) -> None:
    """Whole lines are replaced wherever they stand, to the letter, and all others stay."""
    assert read(whole(body=block(search, replacement)), Files(ENV, old)).files.train == new


def test_several_blocks_apply_to_the_file_as_it_was() -> None:
    """Blocks are independent: each is looked up in the current file, in whatever order."""
    body = block("    return {}\n", "    return {1: 2}\n") + LR_BLOCK
    assert read(whole(body=body)).files.train == NEW_TRAIN.replace("{}", "{1: 2}")


def test_blocks_may_come_in_several_fences() -> None:
    """Two fences for one file are fine when both hold blocks."""
    first = whole(body=block("    return {}\n", "    return {1: 2}\n"))
    text = f"{first}\n{whole(body=LR_BLOCK)}"
    assert read(text).files.train == NEW_TRAIN.replace("{}", "{1: 2}")


def test_block_may_not_use_what_another_one_writes() -> None:
    """A search text that only another block brings in is not found: nothing rests on the order."""
    body = LR_BLOCK + block("LR = 2\n", "LR = 3\n")
    assert code_of(whole(body=body)) == "search_not_found"


MALFORMED = {
    "no end": "<<<<<<< SEARCH\nLR = 1\n=======\nLR = 2\n",
    "no divider": "<<<<<<< SEARCH\nLR = 1\n>>>>>>> REPLACE\n",
    "no start": "LR = 1\n=======\nLR = 2\n>>>>>>> REPLACE\n",
    "two dividers": "<<<<<<< SEARCH\nLR = 1\n=======\nLR = 2\n=======\n>>>>>>> REPLACE\n",
    "nested": "<<<<<<< SEARCH\n<<<<<<< SEARCH\nLR = 1\n=======\nLR = 2\n>>>>>>> REPLACE\n",
    "words between": LR_BLOCK + "and\n" + block("WIDTH\n", "x\n"),
}


@pytest.mark.parametrize("body", MALFORMED.values(), ids=list(MALFORMED))
def test_malformed_blocks_are_refused(body: str) -> None:
    """A block whose markers do not pair up is never guessed at."""
    assert code_of(whole(body=body)) == "malformed_block"


DIFF = "--- a/candidate/train.py\n+++ b/candidate/train.py\n@@ -1 +1 @@\n-LR = 1\n+LR = 2\n"
PATCH = (
    "*** Begin Patch\n*** Update File: candidate/train.py\n@@\n-LR = 1\n+LR = 2\n*** End Patch\n"
)
OTHER_FORMS = {
    "a diff": DIFF,
    "a diff without its head": DIFF.partition("+++ b/candidate/train.py\n")[2],
    "a context diff": "*** candidate/train.py\n--- candidate/train.py\n! LR = 2\n",
    "a patch": PATCH,
    "a patch without its head": PATCH.partition("train.py\n")[2],
    "six arrows": LR_BLOCK.replace("<<<<<<<", "<<<<<<").replace(">>>>>>>", ">>>>>>"),
    "nine arrows": LR_BLOCK.replace("<<<<<<<", "<<<<<<<<<").replace(">>>>>>>", ">>>>>>>>>"),
    "lower case": LR_BLOCK.replace("SEARCH", "search").replace("REPLACE", "replace"),
    "original and updated": LR_BLOCK.replace("SEARCH", "ORIGINAL").replace("REPLACE", "UPDATED"),
    "head": LR_BLOCK.replace("SEARCH", "HEAD").replace("REPLACE", "branch"),
    "no words": LR_BLOCK.replace(" SEARCH", "").replace(" REPLACE", ""),
    "indented": "".join(f"    {line}\n" for line in LR_BLOCK.splitlines()),
    "indented by a tab": "".join(f"\t{line}\n" for line in LR_BLOCK.splitlines()),
    "one marker right": LR_BLOCK.replace("REPLACE", "UPDATED"),
}
MARKERS = r"<<<<<<< SEARCH`.*`=======`.*`>>>>>>> REPLACE`"


@pytest.mark.parametrize("body", OTHER_FORMS.values(), ids=list(OTHER_FORMS))
def test_other_forms_of_edits_are_told_the_form(body: str) -> None:
    """An edit in a form of other tools is not called a syntax error: the agent learns the form."""
    for text in (whole(body=body), whole(body=body) + whole(body=body)):
        with pytest.raises(EditError, match=MARKERS) as caught:
            read(text)
        assert caught.value.code == "malformed_block"


@pytest.mark.parametrize("name", ["a diff", "a patch", "six arrows"])
@pytest.mark.parametrize("frame", ["{}", "```diff\n{}```\n", "Here:\n\n```\n{}```\n"])
def test_other_forms_without_a_path_are_told_the_form(frame: str, name: str) -> None:
    """Nor is it called no edit where nothing else is one."""
    with pytest.raises(EditError, match=MARKERS) as caught:
        read(frame.format(OTHER_FORMS[name]))
    assert caught.value.code == "malformed_block"


@pytest.mark.parametrize("name", [name for name in OTHER_FORMS if name != "one marker right"])
def test_files_may_hold_other_forms(name: str) -> None:
    """What Python reads is a file, and a diff in an illustration is none."""
    body = OTHER_FORMS[name]
    new = f"{NEW_TRAIN}\nNOTES = '''\n{body}'''\n"
    assert read(f"The change:\n```diff\n{body}```\n\n{whole(body=new)}").files.train == new


def test_syntax_error_beside_ordinary_lines_is_one() -> None:
    """Rules and prompts in a text are no diff."""
    notes = "'''\n--- Notes ---\n*** loud ***\n>>> doctest\n@decorated\n'''\n"
    assert code_of(whole(body=f"{NEW_TRAIN}{notes}x = = 1\n")) == "syntax_error"


AMBIGUOUS = {
    "a line that stands twice": ("x = 1\ny = 2\nx = 1\n", [("x = 1\n", "x = 3\n")]),
    "repeated lines that overlap": ("x = 1\n" * 3, [("x = 1\n" * 2, "x = 3\n")]),
    "two blocks over one line": (
        "x = 1\ny = 2\nz = 3\n",
        [("x = 1\ny = 2\n", "x = 2\n"), ("y = 2\nz = 3\n", "z = 2\n")],
    ),
    "one block twice": ("x = 1\n", [("x = 1\n", "x = 2\n"), ("x = 1\n", "x = 2\n")]),
}


@pytest.mark.parametrize(("more", "pairs"), AMBIGUOUS.values(), ids=list(AMBIGUOUS))
def test_ambiguous_search_texts_are_refused(more: str, pairs: list[tuple[str, str]]) -> None:
    """A search text must name one place."""
    body = "".join(block(*pair) for pair in pairs)
    assert code_of(whole(body=body), Files(ENV, TRAIN + more)) == "search_ambiguous"


@pytest.mark.parametrize(
    "search",
    ["LR = 3\n", "LR\n", "R = 1\n", " LR = 1\n", "LR = 1 \n", "lr = 1\n", "", "\n", "  \n"],
)
def test_search_texts_that_are_not_there_are_refused(search: str) -> None:
    """No fuzzy matching: whole lines to the letter, and never an empty text."""
    assert code_of(whole(body=block(search, "LR = 2\n"))) == "search_not_found"


# -- failures by name ------------------------------------------------------------------------------

FAILURES = {
    "empty": ("", "empty"),
    "blank": (" \n\t\n", "empty"),
    "prose": ("I would lower the learning rate.", "no_edit"),
    "code without a path": ("```python\nLR = 2\n```\n", "no_edit"),
    "integer of too many digits": (whole(body=f"{NEW_TRAIN}MASK = 0x{'f' * 4000}\n"), "syntax_error"),
    "coding line": (whole(body=f"# coding: latin-1\n{NEW_TRAIN}X = 'é'\n"), "syntax_error"),
    "two byte order marks": (whole(body=f"\ufeff\ufeff{NEW_TRAIN}"), "syntax_error"),
    "something unseen": ("I can't see the environment's code, nor the policy.", "no_edit"),
    "something unknown": ("I cannot tell which of the two helps more.", "no_edit"),
    "something hard": ("The agent is slow. I can't find a better width than 8.", "no_edit"),
    "a request for code": (
        "I cannot build on #3, because its code is not part of this prompt: the files above are "
        "those of the empty canvas (#1). Please show me candidate/env.py of experiment #3.",
        "no_edit",
    ),
    "a request for help": ("I can't write this without the code of #3.", "no_edit"),
    "a question": ("I am unable to provide an edit: what is the horizon?", "no_edit"),
    "typographic": ("I’m not able to help with this.", "refusal"),
    "declined": ("Thank you, but I must decline.", "refusal"),
    "apology": ("I'm sorry, but I can't help with that.", "refusal"),
    "cannot": ("I cannot assist.", "refusal"),
    "unclosed fence": (f"{TRAIN_PATH}\n```python\n{NEW_TRAIN}", "truncated"),
    "shorter closing fence": (f"{TRAIN_PATH}\n````\n{NEW_TRAIN}```\n", "truncated"),
    "other closing fence": (f"{TRAIN_PATH}\n```\n{NEW_TRAIN}~~~\n", "truncated"),
    "syntax error": (whole(body=NEW_TRAIN + "def (\n"), "syntax_error"),
    "tabs and spaces": (whole(body=NEW_TRAIN + "if 1:\n\tx = 1\n        y = 2\n"), "syntax_error"),
    "deep nesting": (whole(body=NEW_TRAIN + "x = " + "(" * 500 + ")" * 500 + "\n"), "syntax_error"),
    "long chain": (whole(body=NEW_TRAIN + "x = 1" + "+1" * 2500 + "\n"), "syntax_error"),
    "longer chain": (whole(body=NEW_TRAIN + "x = 1" + "+1" * 60_000 + "\n"), "syntax_error"),
    "empty file": (whole(body=""), "missing_function"),
    "lost function": (whole(body=NEW_TRAIN.split("def training")[0]), "missing_function"),
    "method instead": (
        whole(ENV_PATH, "class A:\n    def create_env(self): ...\n"), "missing_function",
    ),
    "same bytes": (whole(body=TRAIN), "unchanged"),
    "same code": (whole(body=f"# a comment\n{TRAIN}\n\n"), "unchanged"),
    "same block": (whole(body=block("LR = 1\n", "LR = 1  # one\n")), "unchanged"),
    "whole file twice": (whole() + whole(), "ambiguous"),
    "whole file and block": (whole() + whole(body=block("LR = 1\n", "LR = 3\n")), "ambiguous"),
    "null character": (whole(body=NEW_TRAIN + "# \0\n"), "encoding"),
    "lone surrogate": (whole(body=NEW_TRAIN + "# \ud800\n"), "encoding"),
    "huge file": (whole(body=NEW_TRAIN + f"#{'x' * MAX_FILE_BYTES}\n"), "too_large"),
    "huge reply": ("x" * (MAX_REPLY_CHARS + 1), "too_large"),
    "blocks without a path": (f"Like this:\n```\n{LR_BLOCK}```\n", "path_missing"),
    "path without a block": (f"{TRAIN_PATH}\n\nis fine as it is.\n", "block_missing"),
    "path at the end": (f"{whole()}\n{ENV_PATH}\n", "block_missing"),
}  # fmt: skip


@pytest.mark.parametrize(("text", "code"), FAILURES.values(), ids=list(FAILURES))
def test_failures_have_names(text: str, code: str) -> None:
    """What can't be used is refused by its own name."""
    assert code_of(text) == code


@pytest.mark.parametrize(
    ("finish_reason", "code"),
    [("length", "truncated"), ("refusal", "refusal"), ("content_filter", "content_filter")],
)
def test_endings_are_believed(finish_reason: str, code: str) -> None:
    """A reply that the server says was cut, refused or filtered is not used, even if it reads well."""
    assert code_of(whole(), finish_reason=finish_reason) == code


def test_half_a_reply_is_never_used() -> None:
    """A block that lost its path spoils the reply: a legal edit beside it is not taken alone."""
    assert code_of(f"{whole()}\nAnd the environment:\n```\n{NEW_ENV}```\n") == "path_missing"


def test_sentence_between_path_and_block_spoils_the_reply() -> None:
    """A path whose block stands further below is not skipped silently."""
    text = f"{whole()}\n{ENV_PATH}\nHere it is:\n```\n{NEW_ENV}```\n"
    assert code_of(text) == "block_missing"


def test_syntax_errors_name_the_line() -> None:
    """A syntax error names file, line and text, for the agent to repair."""
    with pytest.raises(EditError, match=r"candidate/train\.py line 10: .*: x = = 1"):
        read(whole(body=NEW_TRAIN + "x = = 1\n"))


@pytest.mark.parametrize(
    "line",
    [
        "# ... rest of the code unchanged ...",
        "# ... existing code ...",
        "    # ...existing code...",
        "# … remaining methods …",
        "# ... (same as before)",
        "# (rest of file unchanged)",
        "# rest of the code remains the same",
        "# The rest of the file is unchanged.",
        "# rest of the class...",
        "# --- unchanged ---",
        "# unchanged",
        "# same as before",
        "# existing code here",
        "# Existing code...",
        "# [omitted for brevity]",
        "# everything else stays the same",
        "# ...",
        "# …",
        "...  # rest unchanged",
    ],
)
@pytest.mark.parametrize("as_block", [False, True], ids=["whole", "block"])
def test_placeholders_for_code_are_refused(line: str, as_block: bool) -> None:
    """A comment that stands for code left out is refused, in a whole file and in a replacement."""
    body = (
        block("LR = 1\n", f"LR = 2\n{line.strip()}\n")
        if as_block
        else f"{NEW_TRAIN}\n{line.strip()}\n"
    )
    assert code_of(whole(body=body)) == "placeholder"


@pytest.mark.parametrize(
    "line",
    [
        "# 0: stay, 1: attack, 2: rest",
        "# the rest of the reward is the fee",
        "# the same seed gives the same path",
        "# existing walls are kept",
        "# the episode remains open until all units rest",
        "# omitted on purpose",
        "# -----------------",
        "# ....",
        "x = [...]  # the same",
        "x = ...",
        'x = "# ... rest unchanged"',
    ],
)
def test_ordinary_comments_are_no_placeholders(line: str) -> None:
    """Comments that only share words with placeholders are fine."""
    assert line in read(whole(body=f"{NEW_TRAIN}\n{line}\n")).files.train


def test_placeholder_that_was_there_before_is_kept() -> None:
    """A comment of the current file does not make every whole-file reply impossible."""
    current = Files(ENV, f"{TRAIN}# ... same as above\n")
    assert read(whole(body=f"{NEW_TRAIN}# ... same as above\n"), current).files.env == ENV


@pytest.mark.parametrize(
    "source",
    [
        "async def create_env(): ...\n",
        "class create_env: ...\n",
        "from simverse import create_env\n",
        "from simverse import make as create_env\n",
        "from simverse.envs import *\n",
        "create_env = make = print\n",
        "create_env: object = print\n",
        "create_env, other = print, 1\n",
        "try:\n    from a import create_env\nexcept ImportError:\n    create_env = None\n",
        "if True:\n    def create_env(): ...\n",
    ],
)
def test_required_function_may_be_bound_in_any_way(source: str) -> None:
    """Whatever binds the name at module level counts: the check must not refuse what would run."""
    check_file(ENV_PATH, source)


@pytest.mark.parametrize(
    "source",
    [
        "x = 1\n",
        "def f():\n    create_env = 1\n",
        "class A:\n    create_env = 1\n",
        "print(create_env)\n",
        "x.create_env = 1\n",
    ],
)
def test_required_function_must_be_bound_at_module_level(source: str) -> None:
    """A name that is only used, or bound elsewhere, does not count."""
    with pytest.raises(EditError, match="lacks create_env"):
        check_file(ENV_PATH, source)


def test_fingerprint_ignores_comments_and_layout() -> None:
    """Two candidates with the same syntax trees are the same candidate."""
    noisy = Files(f"# hello\n{ENV}", TRAIN.replace("LR = 1", "LR  =  1 # one"))
    assert fingerprint(noisy) == fingerprint(CURRENT)
    assert fingerprint(Files(ENV, NEW_TRAIN)) != fingerprint(CURRENT)


# -- hostile paths ---------------------------------------------------------------------------------

HOSTILE = [
    "framework.py",
    "train.py",
    "env.py",
    "config.yaml",
    "program.md",
    "../candidate/env.py",
    "candidate/../framework.py",
    "candidate/../candidate/env.py",
    "./candidate/env.py",
    "/etc/passwd",
    "/candidate/env.py",
    "~/candidate/env.py",
    "~root",
    "candidate//env.py",
    "candidate/./env.py",
    "candidate/env.py/",
    "candidate/env.py.bak",
    "candidate/env.pyc",
    "candidate/env.py~",
    "candidate/env",
    "candidate/__init__.py",
    "candidate/sub/env.py",
    "Candidate/env.py",
    "candidate/ENV.PY",
    "candidate\\env.py",
    "..\\framework.py",
    "C:\\framework.py",
    "C:env",
    "candidate∕env․py",
    "candidate／env．py",
    "candidate⁄env.py",
    "саndidate/env.py",
    "candidate/env\u200b.py",
    "candidate/\u202eyp.vne",
    "candidate/env.py\u200b",
    "candidate/e\u0301nv.py",
    "[candidate/env.py](candidate/env.py)",
    "[env](http://localhost/candidate/env.py)",
    "<candidate/env.py>",
    "file:///candidate/env.py",
    "https://localhost/env.py",
    '"candidate/env.py"',
    "'framework.py'",
    "(framework.py)",
    "candidate/env.py;framework.py",
    "candidate/env.py,framework.py",
    "candidate/env.py framework.py",
    "candidate/env.py candidate/train.py",
    "candidate/env.py and framework.py",
    "candidate/env.py -> framework.py",
    "candidate/env.py (new)",
    "File: candidate/env.py",
    "- candidate/env.py",
    "1. framework.py",
    "| framework.py |",
    "a/candidate/env.py",
    "candidate/env.py%00",
    "candidate/env.py\x00.txt",
    "candidate/*.py",
    "$HOME/env.py",
    ".git/hooks/post-commit",
    ".gitignore",
    ".env",
    "Makefile",
    "`framework.py`",
    "**framework.py**",
    "### framework.py",
]


@pytest.mark.parametrize("path", HOSTILE)
@pytest.mark.parametrize("beside", ["alone", "before", "after"])
def test_other_paths_are_refused_whole(path: str, beside: str) -> None:
    """A block for any path but the two spoils the reply, whatever legal edit stands beside it."""
    bad = whole(path, "x = 1\n")
    text = {"alone": bad, "before": f"{bad}\n{whole()}", "after": f"{whole()}\n{bad}"}[beside]
    assert code_of(text) == "path_not_allowed"


@pytest.mark.parametrize(
    "info",
    [
        "framework.py",
        "python framework.py",
        "python:framework.py",
        'python title="framework.py"',
        "{.python file=../framework.py}",
        "candidate/env.py",
        "/etc/passwd",
    ],
)
@pytest.mark.parametrize("line", ["", "Here it is", "candidate/train.py"])
def test_paths_in_info_strings_are_refused(info: str, line: str) -> None:
    """An info string can't name a file, nor contradict the path above it."""
    text = f"{whole(ENV_PATH, NEW_ENV)}\n{line}\n```{info}\nx = 1\n```\n"
    assert code_of(text) == "path_not_allowed"


# -- any text --------------------------------------------------------------------------------------

PIECES = [
    *CANDIDATE_PATHS, "```", "~~~", "````python", "`", "**", "\n", "\n\n", "\r\n", " ", "#", "...",
    "<<<<<<< SEARCH", "=======", ">>>>>>> REPLACE", "LR = 1", "LR = 2", ENV, TRAIN, NEW_TRAIN,
    "description: x", "rationale: y", "# rest unchanged", "framework.py", "I'm sorry", "x" * 50,
    "def f():", "    return 1", "'''", "\0", "\ud800", "\u2028", "\x0c", "é", "(", "\\",
]  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from(PIECES) | st.text(max_size=5), max_size=30).map("".join))
@example(f"{TRAIN_PATH}\n```\n{NEW_TRAIN}\x0c```\n")
@example(f"{TRAIN_PATH}\n```\n{NEW_TRAIN}\r```\n```\n")
def test_any_text_is_a_proposal_or_an_edit_error(text: str) -> None:
    """Nothing but EditError is raised, and what is returned parses and differs from before."""
    try:
        files = read(text).files
    except EditError:
        return
    check_file(ENV_PATH, files.env)
    check_file(TRAIN_PATH, files.train)
    assert fingerprint(files) != fingerprint(CURRENT)


LINES = st.text(
    st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"], exclude_characters="\\'#"),
    max_size=20,
).filter(lambda line: line.rstrip() not in {"<<<<<<< SEARCH", ">>>>>>> REPLACE"})


@settings(deadline=None)
@given(lines=st.lists(LINES, max_size=8), fence=st.sampled_from("`~"), crlf=st.booleans())
@example(lines=["```", "~~~~", "candidate/env.py", "description: x"], fence="`", crlf=True)
def test_legal_files_survive_a_reply(lines: list[str], fence: str, crlf: bool) -> None:
    """Any legal file put into a long enough fence comes out to the letter."""
    text = "\n".join(lines)
    body = f"{NEW_TRAIN}'''\n{text}\n'''\n"
    reply = f"description: any\n\n{whole(body=body, fence=fence * 30, info='python')}"
    assert read(reply.replace("\n", "\r\n") if crlf else reply).files == Files(ENV, body)


@settings(deadline=None)
@given(st.data())
def test_any_lines_can_be_replaced(data: st.DataObject) -> None:
    """For any file of distinct lines, a block for any of them changes these and nothing else."""
    names = data.draw(st.lists(st.integers(0, 99), min_size=1, max_size=12, unique=True))
    lines = [f"v{name} = 0\n" for name in names]
    first = data.draw(st.integers(0, len(lines) - 1))
    last = data.draw(st.integers(first, len(lines) - 1))
    old, new = "".join(lines[first : last + 1]), f"v{names[first]} = 1\n"
    current = Files(ENV, TRAIN + "".join(lines))
    files = read(whole(body=block(old, new)), current).files
    assert files.train == TRAIN + "".join([*lines[:first], new, *lines[last + 1 :]])


SEEING = "def observation_space(view_spaces): ...\ndef observe(view): ...\n"
OPEN = "def create_env(): ...\n"


@pytest.mark.parametrize(
    ("env", "has_world", "says"),
    [
        (SEEING, True, None),
        (SEEING.replace("def observe(", "class Observer("), True, None),
        (OPEN, False, None),
        (SEEING + OPEN, False, None),
        (SEEING + OPEN, True, "defines create_env(), but the task is the world in task/world.py"),
        (OPEN, True, "shape_reward(before, actions, after, reward, done) for what training is"),
        ("from x import *\n" + SEEING, True, "whatever `import *` brings"),
        (SEEING, False, "there is no task/world.py here: the task is an environment that"),
        ("def observe(view): ...\n", False, "there is no task/world.py here"),
        ("def observe(view): ...\n", True, "lacks observation_space()"),
        (SEEING + "class Observer: ...\n", True, "both observe() and Observer: define one"),
        ("def observation_space(spaces): ...\n", True, "neither observe(view) nor Observer"),
        ("x = 1\n", False, "candidate/env.py lacks create_env()"),
    ],
)
def test_an_env_of_the_other_mode_is_told_which_mode_this_is(
    env: str, has_world: bool, says: str | None
) -> None:
    """In words that help the agent, before anything is evaluated."""
    if says is None:
        check_file(ENV_PATH, env, has_world=has_world)
        return
    with pytest.raises(EditError) as caught:
        check_file(ENV_PATH, env, has_world=has_world)
    assert says in str(caught.value)
