"""What the scripted agent replies in the run that is recorded.

Each entry is one experiment: its first reply, then those of its repair turns.
"""

import json
from pathlib import Path

DATA = Path(__file__).parent.parent / "data" / "parity"
ENV = (DATA / "candidate" / "env.py").read_text()
TRAIN = (DATA / "candidate" / "train.py").read_text()
_FUNCTIONS = TRAIN[TRAIN.index("\n\ndef build_policy") :]

Turns = tuple[str, ...]


def train(name: str, score: float, **constants: object) -> str:
    """Return a train.py with these constants."""
    values = {"NAME": name, "SCORE": score, "LUCK": 0.3, "NOISE": 0.1} | constants
    return "".join(f"{key} = {json.dumps(value)}\n" for key, value in values.items()) + _FUNCTIONS


def block(path: str, body: str) -> str:
    """Return a file's block in a reply."""
    return f"{path}\n```python\n{body}```\n"


def reply(description: str, *blocks: str, rationale: str = "") -> str:
    """Return a reply."""
    why = f"rationale: {rationale}\n" if rationale else ""
    return "\n".join([f"description: {description}\n{why}", *blocks])


def attempt(name: str, score: float, **constants: object) -> str:
    """Return a reply with a whole train.py."""
    text = train(name, score, **constants)
    return reply(
        f"{name}: score {score:g}",
        block("candidate/train.py", text),
        rationale=f"Why {name}.\n\nYes.",
    )


def edit(name: str, old: str, new: str, path: str = "candidate/train.py") -> str:
    """Return a reply with one SEARCH/REPLACE block."""
    body = f"<<<<<<< SEARCH\n{old}\n=======\n{new}\n>>>>>>> REPLACE\n"
    return reply(f"{name}: an edit", block(path, body))


def scaled_env(reward: float) -> str:
    """Return an env.py that pays another reward."""
    return ENV.replace("REWARD = 1.0", f"REWARD = {reward}")


SYNTAX_ERROR = reply("a syntax error", block("candidate/train.py", "def build_policy(:\n"))
OTHER_PATH = reply("another file", block("framework.py", "SCORE = 1e9\n"))
NO_EDIT = reply("nothing but words")
CUT_OFF = "description: cut off\n\ncandidate/train.py\n```python\nSCORE = 1.0\n"
NO_FUNCTION = reply("a function is missing", block("candidate/train.py", "SCORE = 1.0\n"))
PLACEHOLDER = reply(
    "left out", block("candidate/train.py", "SCORE = 1.0\n# ... rest of the file unchanged\n")
)

SOUND: list[Turns] = [
    # 12 training episodes.
    (attempt("s01-worse", -0.4),),
    (attempt("s02-hopeless", -3.0),),
    (attempt("s03-a-little", 0.12),),
    (attempt("s04-better", 1.2),),
    (attempt("s05-worse", 0.7),),
    (attempt("s06-held-in-the-first-seed", 1.55),),
    (attempt("s07-crashes", 1.5, DO="crash"), attempt("s07-repaired", 1.3)),
    (attempt("s08-same", 1.2),),
    (attempt("s09-noisy", 2.4, NOISE=0.6),),
    (attempt("s10-held-on-a-fresh-seed", 3.6),),
    (SYNTAX_ERROR, NO_FUNCTION, attempt("s11-repaired-twice", 3.7)),
    (attempt("s12-worse", 3.1),),
    (attempt("s13-hopeless-by-its-curve", -4.0),),
    (attempt("s14-vetoed", 5.0, FLAGS=["nondeterministic: 3 of 8 episodes", "budget exceeded"]),),
    (attempt("s15-hangs", 5.0, DO="hang"),),
    (attempt("s16-lucky", 5.0, FRESH=-4.0),),
    (attempt("s17-crashes-on-a-fresh-seed", 5.0, DO="crash", DO_AT="fresh"),),
    (attempt("s18-better", 4.8, AT={"64": -30.0}),),
    # 32 training episodes, after four keeps.
    (attempt("s19-worse", 4.4),),
    (attempt("s04-better", 1.2),),  # the same code at another budget is no duplicate
    (attempt("s21-worse", 4.6),),
    (OTHER_PATH,),
    (attempt("s23-hardly-better", 4.9),),
    (attempt("s24-worse", 4.5),),
    # The baseline at 64 learns nothing, so the run stays, until the next keep.
    (attempt("s25-worse", 4.6),),
    (attempt("s26-better", 6.0, SOLVED=0.7),),
    (attempt("s27-worse", 5.7),),
    (attempt("s28-rejected", 8.0, DO="rejected", DO_AT=138),),
    (attempt("s29-worse", 5.6),),
    (attempt("s30-worse", 5.5),),
    (attempt("s31-hardly-better", 6.05),),
    (attempt("s32-worse", 5.4),),
    # 64 training episodes.
    (attempt("s33-worse", 5.2),),
    (attempt("s34-better", 7.5),),
    # A person has accepted an experiment of the lowest budget.
    (attempt("s35-worse", 0.5),),
    (attempt("s36-better", 4.5),),
]

N02 = attempt("n02-better", 0.5, NOISE=0.01)
N05 = edit("n05-unchanged", "SCORE = 0.7", "SCORE = 0.7  # the same")

NAIVE: list[Turns] = [
    (attempt("n01-worse", -0.5),),
    (N02,),
    (edit("n03-a-little", "SCORE = 0.5", "SCORE = 0.53"),),
    (edit("n04-better", "SCORE = 0.5", "SCORE = 0.7"),),
    (N05,),
    (edit("n06-search-not-found", "SCORE = 77.0", "SCORE = 1.0"),),
    (NO_EDIT,),
    (CUT_OFF, PLACEHOLDER, OTHER_PATH),
    ("",),
    (N05,),
    (N05, attempt("n11-no-duplicate", 0.8)),
    (attempt("n12-crashes-twice", 2.0, DO="crash"), attempt("n12-again", 2.1, DO="crash")),
    (
        attempt("n13-crashes", 2.0, DO="crash", DO_AT=138),
        attempt("n13-crashes", 2.0, DO="crash", DO_AT=138),
        SYNTAX_ERROR,
    ),
    (attempt("n14-invalid", 2.0, DO="invalid"), attempt("n14-repaired", 1.0)),
    (attempt("n15-rejected", 2.5, DO="rejected"),),
    (attempt("n16-shorter", 3.0, MAX_STEPS=10),),
    (
        reply(
            "n17: pays more",
            block("candidate/env.py", scaled_env(2.0)),
            block("candidate/train.py", train("n17-pays-more", 1.6)),
        ),
    ),
    (edit("n18-env-alone", "REWARD = 2.0", "REWARD = 2.0\nBONUS = 0.3", "candidate/env.py"),),
    (attempt("n19-hangs-on-the-second-seed", 3.0, DO="hang", DO_AT=138),),
    (attempt("n20-stopped-at-once", 1.0),),
    (attempt("n21-held-while-stopped", 1.1),),
    (attempt("n22-held-while-paused", 1.2),),
    # A person has accepted an earlier one, from which patience counts anew.
    (attempt("n23-worse-than-accepted", 0.3),),
    (attempt("n24-better", 2.2),),
    # 32 training episodes.
    (attempt("n25-worse", 2.0),),
    (attempt("n26-better", 3.4),),
]

SECOND_TAG: list[Turns] = [
    (N02,),  # of another run, so no duplicate
    (SYNTAX_ERROR,),
    (attempt("t03-crashes", 9.0, DO="crash"),),
    (attempt("t04-better", 1.5),),
]
