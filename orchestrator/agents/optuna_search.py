"""The embedded agent: an honest hyper-parameter search, no key and no network.

It tunes the constants of `candidate/train.py` (`NAME = literal` at module level) with optuna's TPE
sampler (Bergstra et al. 2011) and changes nothing but their values, so comments stay. It has no
ideas of its own, and ends the run when there is nothing to tune. The study is built from the ledger
for every proposal, so there is no state that a crash could lose.
"""

import ast
import itertools
import math
import re
import warnings
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from orchestrator.core.errors import AgentFinishedError
from orchestrator.core.python_source import BOM, parse_source
from orchestrator.core.records import TRAIN_PATH, Reply, Rung
from orchestrator.core.text import fenced
from orchestrator.proposals.brief import Brief

if TYPE_CHECKING:
    import optuna

Trials = Callable[[Rung], Sequence[tuple[str, float]]]
"""Returns (train.py, score) of the scored experiments at a rung."""

NOTHING_TO_TUNE = "nothing to tune"
STARTUP_TRIALS = 5
MAX_DRAWS = 100
LARGEST = 1e12
_SHOWN = 2
_LINE = re.compile(r"(?<=\n)|(?<=\r)(?!\n)")
_VALUE = r"([-+]?(?:\d{1,30}(?:\.\d{0,30})?|\.\d{1,30})(?:[eE][-+]?\d{1,3})?)"
_RANGE = re.compile(rf"\brange:\s{{0,9}}{_VALUE}\s{{0,9}}\.\.\s{{0,9}}{_VALUE}", re.IGNORECASE)
# A horizon is part of the task; a seed or a path is no hyper-parameter.
_LEFT_OUT = re.compile(
    r"(?:^|_)(?:SEED|MAX_?STEP|HORIZON|STEP|EPISODE_LEN(?:GTH)?|PATH|DIR|VERSION)S?(?:_|$)"
)
_DISCOUNT = re.compile(r"(?:GAMMA|LAMBDA|DISCOUNT|DECAY|MOMENTUM|BETA)", re.IGNORECASE)


@dataclass(frozen=True)
class Tunable:
    """One constant and its search space."""

    name: str
    value: float
    low: float
    high: float
    kind: str
    """`int`, `log` (positive float on a log scale), `discount` (log of 1 - x) or `linear`."""

    def distribution(self) -> "optuna.distributions.BaseDistribution":
        """Return optuna's distribution of the encoded value."""
        from optuna.distributions import FloatDistribution, IntDistribution

        low, high = sorted((self.encode(self.low), self.encode(self.high)))
        if self.kind == "int":
            return IntDistribution(int(low), int(high), log=low >= 1)
        return FloatDistribution(low, high)

    def encode(self, value: float) -> float:
        """Map a value of the source code into the search space."""
        if self.kind == "log":
            return math.log(max(value, 1e-300))
        if self.kind == "discount":
            return math.log(max(1.0 - value, 1e-9))
        return value

    def decode(self, encoded: float) -> float | int:
        """Map a point of the search space to a value, rounded to four digits."""
        if self.kind == "int":
            return int(encoded)
        if self.kind == "discount":
            # Four digits of the distance to one: 0.9987 and 0.99987 are different horizons.
            value = round(1.0 - float(f"{math.exp(encoded):.4g}"), 10)
        else:
            value = float(f"{math.exp(encoded) if self.kind == 'log' else encoded:.4g}")
        return min(max(value, self.low), self.high)

    def distance(self, value: float) -> float:
        """Return how far `value` is from the present one, as a share of the range searched."""
        span = abs(self.encode(self.high) - self.encode(self.low))
        return abs(self.encode(value) - self.encode(self.value)) / span


class OptunaAgent:
    """Proposes new values for the constants of `candidate/train.py`."""

    name = "optuna"

    def __init__(self, trials: Trials, tag: str = "") -> None:
        """Search for the run of this tag; each tag begins with other values."""
        self._trials = trials
        self._seed = zlib.crc32(tag.encode())

    def propose(self, brief: Brief) -> Reply | None:
        """Return the sampler's next values; None after a failed attempt, which it can't repair.

        Raises:
            AgentFinishedError: there is nothing to tune, or every value in range was tried.
        """
        if brief.attempts:
            return None
        tunables = find_tunables(brief.files.train)
        if not tunables:
            raise AgentFinishedError(NOTHING_TO_TUNE)
        current = {tunable.name: tunable.value for tunable in tunables}
        values = self._search(tunables, current, brief)
        moved = sorted(tunables, key=lambda t: t.distance(values[t.name]), reverse=True)
        changed = {t.name: values[t.name] for t in moved if values[t.name] != t.value}
        shown = [f"{name} {current[name]:g} -> {changed[name]:g}" for name in changed]
        more = f", +{len(shown) - _SHOWN} more" if len(shown) > _SHOWN else ""
        return Reply(
            f"description: optuna: {', '.join(shown[:_SHOWN])}{more}\n"
            f"rationale: a sample of the TPE search over {len(tunables)} constants of train.py, no "
            f"idea behind it: {', '.join(shown)}\n\n"
            f"{TRAIN_PATH}\n{fenced(with_values(brief.files.train, changed), 'python')}\n"
        )

    def sampler(self, seed: int) -> "optuna.samplers.BaseSampler":
        """Return what draws the next point."""
        from optuna.samplers import TPESampler

        return TPESampler(seed=seed, n_startup_trials=STARTUP_TRIALS, multivariate=True)

    def _search(
        self, tunables: Sequence[Tunable], current: Mapping[str, float], brief: Brief
    ) -> dict[str, float]:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        space = {tunable.name: tunable.distribution() for tunable in tunables}
        tried = [current]
        past = []
        for train, score in self._trials(brief.rung):
            values = {name: value for name, value, _ in _constants(train)}
            if values.keys() >= current.keys():
                tried.append({name: values[name] for name in current})
                if (params := _params(values, tunables, space)) is not None:
                    past.append((params, score))
        # The same seed after a restart would repeat its proposals; an ordinal never repeats.
        sampler = self.sampler((self._seed + brief.ordinal) % 2**32)
        study = optuna.create_study(direction="maximize", sampler=sampler)
        for params, score in past:
            study.add_trial(
                optuna.trial.create_trial(params=params, distributions=space, value=score)
            )
        for _ in range(MAX_DRAWS):
            asked = study.ask(space).params
            values = {t.name: t.decode(asked[t.name]) for t in tunables}
            if values not in tried:
                return values
        raise AgentFinishedError(f"{NOTHING_TO_TUNE}: every value in range was tried")


def find_tunables(source: str) -> list[Tunable]:
    """Return the numeric constants of a module, in order, with their search ranges."""
    lines = _LINE.split(source)
    found = []
    for name, value, statement in _constants(source):
        bounds = _declared(lines[(statement.end_lineno or statement.lineno) - 1])
        if bounds or not _LEFT_OUT.search(name.upper()):
            tunable = _tunable(name, value, bounds)
            if tunable is not None:
                found.append(tunable)
    return found


def with_values(source: str, values: Mapping[str, float]) -> str:
    """Return the module with new values for some constants, otherwise the same to the letter."""
    plain = source.removeprefix(BOM)
    constants = [constant for constant in _constants(plain) if constant[0] in values]
    if not constants:
        return source
    lines = [line.encode() for line in _LINE.split(plain)]
    starts = [0, *itertools.accumulate(map(len, lines))]
    content = b"".join(lines)
    for name, _, statement in reversed(constants):
        value = statement.value
        if value and value.end_lineno and value.end_col_offset is not None:
            first = starts[value.lineno - 1] + value.col_offset  # columns count bytes
            last = starts[value.end_lineno - 1] + value.end_col_offset
            content = content[:first] + repr(values[name]).encode() + content[last:]
    return source[: len(source) - len(plain)] + content.decode()


def _constants(source: str) -> list[tuple[str, float, ast.Assign | ast.AnnAssign]]:
    """Return (name, value, statement) of every `NAME = number` at module level that is set once."""
    try:
        body = parse_source(source).body
    except SyntaxError:
        return []
    found = []
    for node in body:
        if isinstance(node, ast.Assign) and len(node.targets) == 1:
            target, value = node.targets[0], node.value
        elif isinstance(node, ast.AnnAssign) and node.value is not None:
            target, value = node.target, node.value
        else:
            continue
        number = _number(value)
        if isinstance(target, ast.Name) and number is not None:
            found.append((target.id, number, node))
    stored = Counter(_stored(body))
    return [constant for constant in found if stored[constant[0]] == 1]


def _stored(body: Sequence[ast.stmt]) -> Iterator[str]:
    """Yield every name that a module's own code binds, once for each binding."""
    waiting: list[ast.AST] = list(body)
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        elif not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            waiting.extend(ast.iter_child_nodes(node))


def _number(node: ast.expr) -> float | None:
    sign = 1
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub | ast.UAdd):
        sign, node = (-1 if isinstance(node.op, ast.USub) else 1), node.operand
    value = node.value if isinstance(node, ast.Constant) else None
    if isinstance(value, bool) or not isinstance(value, int | float) or abs(value) > LARGEST:
        return None
    return sign * value


def _tunable(name: str, value: float, bounds: tuple[float, float] | None) -> Tunable | None:
    if isinstance(value, int):
        if value < 1 and not bounds:
            return None
        low, high = bounds or (max(1, value // 4), value * 4)
        return _if_inside(Tunable(name, value, math.ceil(low), math.floor(high), "int"))
    if _DISCOUNT.search(name) and 0.5 <= value < 1.0:
        low, high = bounds or (1.0 - min(1.0, (1.0 - value) * 10), 1.0 - (1.0 - value) / 10)
        return _if_inside(Tunable(name, value, low, min(high, 1 - 1e-6), "discount"))
    if value > 0 or bounds:
        low, high = bounds or (value / 10, value * 10)
        return _if_inside(Tunable(name, value, low, high, "log" if low > 0 else "linear"))
    return None


def _if_inside(tunable: Tunable) -> Tunable | None:
    return (
        tunable
        if tunable.low <= tunable.value <= tunable.high and tunable.low < tunable.high
        else None
    )


def _declared(line: str) -> tuple[float, float] | None:
    match = _RANGE.search(line.partition("#")[2])
    if not match:
        return None
    low, high = float(match[1]), float(match[2])
    return (low, high) if -LARGEST <= low < high <= LARGEST else None


def _params(
    values: Mapping[str, float], tunables: Sequence[Tunable], space: Mapping[str, Any]
) -> dict[str, float] | None:
    """Return an earlier experiment's point in the current space, or None if it lies outside."""
    params = {}
    for tunable in tunables:
        value = values[tunable.name]
        if tunable.kind == "int" and value != int(value):
            return None
        encoded, distribution = tunable.encode(value), space[tunable.name]
        if not distribution.low - 1e-9 <= encoded <= distribution.high + 1e-9:
            return None
        encoded = min(max(encoded, distribution.low), distribution.high)
        params[tunable.name] = int(encoded) if tunable.kind == "int" else encoded
    return params
