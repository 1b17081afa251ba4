NAME = "baseline"
SCORE = 0.0
LUCK = 0.3
NOISE = 0.1
DO = "crash"
DO_AT = 5


def build_policy(obs_space, action_space):
    return None


def training_overrides(*, num_envs, max_steps, device):
    return {}
