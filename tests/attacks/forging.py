"""Attacks on the score from within the contract: what an environment returns and claims."""

from tests.attacks.template import Attack, Change

_REWARD = "reward = 0.5 * (actions == 1).to(self.dtype)"
_RETURN = "reward, self.done.clone(), info"
_CLAIM = '"episode_return": self.paid.clone()'


def pays(expression: str) -> Change:
    """Return the change that makes a step pay this, a tensor `[N]`."""
    return (_REWARD, f"reward = {expression}")


def everyone(amount: str) -> Change:
    """Return the change that pays all sub-environments the same."""
    return pays(f"torch.full((self.num_envs,), {amount})")


# The naive scorer adds up rewards by itself where nothing is claimed.
_SILENT = (_CLAIM, '"nothing": 0')

FORGING = (
    Attack(
        name="claimed-return",
        attempts="claims a return of a million in its info",
        env=((_CLAIM, '"episode_return": torch.full((self.num_envs,), 1e6)'),),
        strikes="info",
        copy="naive",
        shows="score",
    ),
    Attack(
        name="claimed-success",
        attempts="claims success whenever it pays nothing",
        env=(
            ("success = (self.paid >= 2.5)", "success = (self.paid >= 0)"),
            pays("-0.5 * (actions == 1).to(self.dtype)"),
        ),
        strikes="info",
        copy="naive",
        shows="solved",
        ends=("scored",),
    ),
    Attack(
        name="reward-huge",
        attempts="pays a million",
        env=(everyone("1e6"),),
        strikes="reward",
        copy="naive",
        shows="score",
        ends=("rejected",),
    ),
    Attack(
        name="reward-just-beyond",
        attempts="pays a little more than the bound, once",
        env=(pays("torch.where(self.steps == 4, 1.001, 1.0)"),),
        strikes="reward",
        copy="naive",
        shows="score",
        ends=("rejected",),
    ),
    Attack(
        name="reward-infinite",
        attempts="pays infinity in evaluation only",
        env=(everyone('float("inf") if EVALUATING or not torch.is_grad_enabled() else 0.5'),),
        strikes="reward",
        copy="naive",
        shows="score",
        ends=("rejected", "crash", "invalid"),
    ),
    Attack(
        name="reward-nan",
        attempts="pays NaN, which no comparison finds too large",
        env=(everyone('float("nan")'),),
        strikes="reward",
        copy="naive",
        shows="score",
        ends=("rejected", "crash", "invalid"),
    ),
    Attack(
        name="reward-nan-once",
        attempts="pays NaN in evaluation only, in one sub-environment",
        env=(
            pays(
                "torch.where((torch.arange(self.num_envs) == 0) & torch.tensor(EVALUATING or not "
                'torch.is_grad_enabled()), float("nan"), 0.5)'
            ),
        ),
        strikes="reward",
        copy="naive",
        shows="score",
        ends=("rejected", "crash", "invalid"),
        is_long=True,
    ),
    Attack(
        name="reward-negative-infinity-and-back",
        attempts="pays -inf, then +inf",
        env=(pays("torch.full((self.num_envs,), float('-inf')) * (self.steps % 2 * 2 - 1)"),),
        strikes="reward",
        copy="naive",
        shows="score",
        ends=("rejected", "crash", "invalid"),
        is_long=True,
    ),
    Attack(
        name="reward-integers",
        attempts="pays in int64, where a bound in floats might be lost",
        env=(pays("torch.full((self.num_envs,), 2**62, dtype=torch.int64)"),),
        strikes="reward",
        copy="naive",
        shows="score",
        ends=("rejected", "crash", "invalid"),
    ),
    Attack(
        name="reward-overflows-float32",
        attempts="pays 1e300 in float64",
        env=(pays("torch.full((self.num_envs,), 1e300, dtype=torch.float64)"),),
        strikes="reward",
        copy="naive",
        shows="score",
        ends=("rejected", "crash", "invalid"),
        is_long=True,
    ),
    Attack(
        name="reward-booleans",
        attempts="pays in truth values that add up",
        env=(pays("torch.full((self.num_envs,), True)"), _SILENT),
        strikes="reward",
        copy="naive",
        shows="score",
        ends=("invalid",),
        is_long=True,
    ),
    Attack(
        name="reward-wide",
        attempts="returns ten columns of rewards that broadcast",
        env=((_RETURN, "1.0 + reward[:, None].repeat(1, 10), self.done.clone(), info"), _SILENT),
        strikes="reward",
        copy="naive",
        shows="score",
        ends=("invalid",),
    ),
    Attack(
        name="pay-after-done",
        attempts="ends some episodes at once and goes on paying there",
        env=(
            (
                "self.done |= self.steps >= 5",
                "self.done |= (self.steps >= 5) | (torch.arange(self.num_envs) > 0)",
            ),
            pays("torch.where(self.done, 1.0, 0.5)"),
            _SILENT,
        ),
        strikes="done",
        copy="naive",
        shows="score",
        ends=("scored",),
    ),
    Attack(
        name="never-done",
        attempts="never ends an episode and pays on",
        env=(("self.done |= self.steps >= 5", "pass"),),
        strikes="done",
        copy="naive",
        shows="score",
        ends=("scored", "honest"),
    ),
    Attack(
        name="always-done",
        attempts="is done before the first step, with a prize",
        env=(
            ("self.done |= self.steps >= 5", "self.done |= True"),
            pays("torch.ones(self.num_envs)"),
            (_CLAIM, '"episode_return": 9 * torch.ones(self.num_envs)'),
        ),
        strikes="done",
        copy="naive",
        shows="score",
        ends=("scored",),
    ),
    Attack(
        name="reward-aliases-buffer",
        attempts="returns a live buffer as the reward and changes it afterwards",
        env=(
            (
                "self.paid = torch.zeros(self.num_envs)\n\n",
                "self.pay = self.paid = torch.zeros(self.num_envs)\n\n",
            ),
            pays("self.pay.copy_(((self.steps == 4) & (actions == 1)).to(self.dtype))"),
            ("self.paid += reward", "self.paid = self.paid + reward"),
            _SILENT,
        ),
        strikes="reward",
        copy="naive",
        shows="score",
        ends=("scored",),
    ),
    Attack(
        name="lying-tensor",
        attempts="returns a tensor of a class of its own that lies when it is averaged",
        env=(
            (
                "class Tiny",
                "class Liar(torch.Tensor):\n    def mean(self, *_, **__):\n"
                "        return torch.tensor(1e6)\n\n\nclass Tiny",
            ),
            (_RETURN, "reward.as_subclass(Liar), self.done.clone(), info"),
            _SILENT,
        ),
        strikes="reward",
        copy="naive",
        shows="score",
        ends=("honest", "scored", "invalid", "crash"),
    ),
    Attack(
        name="lying-object",
        attempts="returns something that is no tensor but adds up",
        env=(
            (
                "class Tiny",
                "class Liar:\n    def __add__(self, _):\n        return self\n"
                "    __radd__ = __mul__ = __add__\n    def mean(self):\n        return 1e6\n\n\nclass Tiny",
            ),
            (_RETURN, "Liar() if not torch.is_grad_enabled() else reward, self.done.clone(), info"),
            _SILENT,
        ),
        strikes="reward",
        copy="naive",
        shows="score",
        ends=("invalid", "crash"),
        is_long=True,
    ),
    Attack(
        name="action-out-of-range",
        attempts="the policy answers with an action that is not in the space, and is paid for it",
        env=(pays("torch.where(actions >= 2, 1.0, 0.5 * (actions == 1))"),),
        train=(
            (
                "return self.logits(hidden), self.value(hidden)",
                "logits = self.logits(hidden)\n"
                "        if not self.training:\n"
                "            logits = nn.functional.pad(logits, (0, 48), value=99.0)\n"
                "        return logits, self.value(hidden)",
            ),
        ),
        strikes="forward in evaluation",
        copy="naive",
        shows="score",
        ends=("crash", "invalid", "rejected"),
    ),
    Attack(
        name="action-out-of-range-by-patch",
        attempts="the same by a changed argmax in the policy's process",
        code="""
        def forged(self, dim=None, keepdim=False):
            return torch.full(self.shape[:1], 49, dtype=torch.int64)
        torch.Tensor.argmax = forged
        """,
        strikes="build_policy",
        env=(pays("torch.where(actions >= 2, 1.0, 0.5 * (actions == 1))"),),
        copy="naive",
        shows="score",
        ends=("rejected", "crash", "invalid"),
    ),
)
