"""PPO, its statistics and what scripts pass to it; names are looked up on first use."""

from simverse.lookup import looked_up

_HOME = {
    "Checkpointer": "simverse.training.checkpoints",
    "DEFAULT_WANDB_PROJECT": "simverse.training.loggers",
    "EpisodeStats": "simverse.training.stats",
    "PPOConfig": "simverse.training.config",
    "PPOTrainer": "simverse.training.ppo",
    "TrainingStats": "simverse.training.stats",
    "build_adam_optimizers": "simverse.training.utils",
    "build_ppo_training_config": "simverse.training.utils",
    "compile_policy_models": "simverse.training.utils",
    "configure_logging": "simverse.training.logging",
    "configure_torch_backend": "simverse.training.utils",
    "get_logger": "simverse.training.logging",
    "resolve_rollout_dtype": "simverse.training.utils",
    "resolve_torch_device": "simverse.training.utils",
    "run_ippo_training": "simverse.training.runs",
    "run_mappo_training": "simverse.training.runs",
    "run_ppo_training": "simverse.training.runs",
    "training_logger": "simverse.training.logging",
}

__all__ = sorted(_HOME)  # noqa: PLE0605 - the table above is the list

__getattr__ = looked_up(__name__, _HOME)
