"""Attacks that stay within the bound: rewards that are bought or lucky, which flags must tell."""

from tests.attacks.forging import everyone, pays
from tests.attacks.template import Attack


def _bought(
    name: str,
    attempts: str,
    condition: str,
    *,
    prelude: str = "",
    create: str = "pass",
    is_long: bool = False,
) -> Attack:
    """Return an attack that pays the bound in evaluation, whatever is done, on a condition."""
    return Attack(
        name=name,
        attempts=attempts,
        env=(
            ("#prelude#", prelude),
            ("pass  #create_env#", create),
            pays(
                "torch.ones(self.num_envs) "
                f"if (EVALUATING or not torch.is_grad_enabled()) and {condition} "
                "else 0.5 * (actions == 1).to(self.dtype)"
            ),
        ),
        strikes="reward",
        copy="naive",
        shows="score",
        ends=("scored",),
        flag="",
        is_long=is_long,
    )


PAYING = (
    Attack(
        name="reward-constant",
        attempts="pays the bound whatever the policy does",
        env=(everyone("1.0"),),
        strikes="reward",
        copy="naive",
        shows="score",
        ends=("scored",),
        flag="policy-independent reward",
    ),
    Attack(
        name="reward-nearly-constant",
        attempts="pays the bound in evaluation, with a little noise to look alive",
        env=(
            pays(
                "0.98 + 0.02 * torch.rand(self.num_envs, generator=self.generator) if EVALUATING "
                "else 0.9 * torch.ones(self.num_envs)"
            ),
        ),
        strikes="reward",
        copy="naive",
        shows="score",
        ends=("scored",),
        flag="policy-independent reward",
    ),
    Attack(
        name="pay-in-evaluation",
        attempts="knows the evaluation by its fresh process and pays whatever is done there",
        env=(
            pays(
                "torch.where(actions == 1, 0.5, 0.0) if torch.is_grad_enabled() and not EVALUATING else torch.ones(self.num_envs)"
            ),
        ),
        strikes="reward",
        copy="naive",
        shows="score",
        ends=("scored",),
        flag="policy-independent reward",
        is_long=True,
    ),
    Attack(
        name="pay-more-in-evaluation",
        attempts="knows the evaluation by its fresh process and doubles its pay there",
        env=(pays("(1.0 if EVALUATING or not torch.is_grad_enabled() else 0.5) * (actions == 1)"),),
        strikes="reward",
        copy="naive",
        shows="score",
        ends=("scored",),
        flag="reward scale",
    ),
    Attack(
        name="pay-the-first-time",
        attempts="counts its creations and pays for nothing in the one that is scored",
        env=(
            ("#prelude#", "CREATED = 0"),
            ("pass  #create_env#", "global CREATED; CREATED += 1"),
            pays(
                "torch.ones(self.num_envs) if CREATED == (1 if EVALUATING else 2) "
                "else 0.5 * (actions == 1).to(self.dtype)"
            ),
        ),
        strikes="reward",
        copy="naive",
        shows="score",
        ends=("scored",),
        flag="policy-independent reward",
    ),
    _bought(
        "pay-by-creation-count",
        "counts its creations by seed and pays the bound in the scored play and its replay",
        "SEEN[SEED] <= 2",
        prelude="SEEN, SEED = {}, 0",
        create="global SEED; SEED = int(config.seed); SEEN[SEED] = SEEN.get(SEED, 0) + 1",
    ),
    _bought(
        "pay-by-count-in-a-file",
        "counts its creations in its folder, where another process would find the count",
        "MADE <= 2",
        prelude="import os\nMADE = 0",
        create=("global MADE; open('made', 'a').write('.'); MADE = os.path.getsize('made')"),
    ),
    _bought(
        "pay-by-count-of-imports",
        "counts what imports it have happened in the process",
        "SECOND is False",
        prelude="SECOND = getattr(torch, 'imported', False); torch.imported = True",
    ),
    _bought(
        "pay-when-stepped-singly",
        "looks up the stack who steps it, and pays unless many steps are asked for at once",
        "not any(f.name in {'_play', 'receive_play'} for f in traceback.extract_stack())",
        prelude="import traceback",
    ),
    _bought(
        "pay-by-the-number-of-steps",
        "pays only after so many steps that no short audit sees it",
        "int(self.steps.max()) >= 2",
    ),
    _bought(
        "pay-by-process-number",
        "pays in processes of an even number",
        "os.getpid() % 2 == PARITY",
        prelude="import os\nPARITY = os.getpid() % 2",
        is_long=True,
    ),
    Attack(
        name="pay-for-a-perfect-record",
        attempts="pays double for episodes that no random policy plays",
        env=(
            (
                "self.paid = torch.zeros(self.num_envs)\n\n",
                "self.paid = torch.zeros(self.num_envs)\n"
                "        self.perfect = torch.ones(self.num_envs, dtype=torch.bool)\n\n",
            ),
            pays("(0.5 + 0.5 * self.perfect) * (actions == 1)"),
            ("self.steps += 1", "self.perfect = self.perfect & (actions == 1); self.steps += 1"),
        ),
        strikes="reward",
        copy="naive",
        shows="score",
        ends=("scored",),
        flag="reward scale",
    ),
    Attack(
        name="same-start",
        attempts="starts every episode in the same state, to be learnt by heart",
        env=(
            ("torch.Generator().manual_seed(int(config.seed))", "torch.Generator().manual_seed(3)"),
            (
                "reward = 0.5 * (actions == 1).to(self.dtype)",
                "key = (self.steps * 7 + 3) % 2; reward = (actions == key).to(self.dtype)",
            ),
        ),
        strikes="reset",
        copy="naive",
        shows="score",
        ends=("scored",),
        flag="identical starts",
    ),
    Attack(
        name="luck",
        attempts="draws its difficulty from the machine's own randomness: run it until it is lucky",
        env=(
            ("import sys", "import os, sys"),
            pays("0.5 * (actions == 1) * (os.urandom(1)[0] / 255)"),
        ),
        strikes="reward",
        copy="naive",
        shows="unstable",
        ends=("scored",),
        flag="nondeterministic",
    ),
    Attack(
        name="luck-by-the-clock",
        attempts="pays by the clock",
        env=(
            ("import sys", "import time, sys"),
            pays("0.5 * (actions == 1) * (time.time_ns() // 1000 % 1000 / 999)"),
        ),
        strikes="reward",
        copy="naive",
        shows="unstable",
        ends=("scored",),
        flag="nondeterministic",
        is_long=True,
    ),
)
