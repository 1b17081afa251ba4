"""The worlds of the public tasks: worked out by hand, and step by step against their originals.

The comparisons run where MinAtar or gymnax (with JAX) is installed, which neither the project nor
its tests need otherwise: `pip install minatar==1.0.15 gymnax==1.0.1`.
"""

from functools import cache, partial
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from simverse.core.config import EnvConfig
from simverse.core.views import ViewLayout
from simverse.core.world import check_world_step
from simverse.training.config import PPOConfig
from simverse.training.ppo import train
from simverse.worlds.observed import ObservedWorld
from simverse.worlds.perception import Perception

from .helpers import ROOT, load, load_file, play_episodes, random_policy

HORIZONS = {"breakout": 1000, "metamaze": 200}
WORLDS = tuple(HORIZONS)


@cache
def world_module(name: str) -> ModuleType:
    return load_file(ROOT / "examples" / name / "task" / "world.py")


def make_world(name: str, *, num_envs: int = 1, seed: int = 0, max_steps: int | None = None) -> Any:
    world = world_module(name).create_world(EnvConfig(num_envs=num_envs, seed=seed))
    assert world.max_steps == HORIZONS[name]
    world.max_steps = max_steps or world.max_steps
    return world


def play(world: Any, *actions: int) -> tuple[dict[str, Tensor], list[float], bool, dict[str, Any]]:
    """Act in a world of one sub-environment; stop at the first `done`."""
    rewards: list[float] = []
    view, done, info = {}, False, {}
    for action in actions:
        view, reward, ended, info = world.step(torch.tensor([action]))
        rewards.append(reward.item())
        done = bool(ended)
        if done:
            break
    return view, rewards, done, info


# -- what holds for both -------------------------------------------------------------------------


@pytest.mark.parametrize("name", WORLDS)
def test_the_view_is_finite_within_its_spaces_and_in_memory_of_its_own(name: str) -> None:
    """Each entry is `[N, …]`, within the space announced, and untouched by later steps."""
    world = make_world(name, num_envs=16)
    generator = torch.Generator().manual_seed(0)
    view = world.reset()
    layout = ViewLayout.of(view, 16)
    spaces = world.view_spaces or layout.spaces
    assert view.keys() == spaces.keys()
    for _ in range(300):
        for entry, space in spaces.items():
            assert view[entry].shape == (16, *space.shape)
            assert torch.isfinite(view[entry].float()).all()
            assert view[entry].float().min() >= float(np.min(space.low))
            assert view[entry].float().max() <= float(np.max(space.high))
        kept = {entry: tensor.clone() for entry, tensor in view.items()}
        actions = torch.randint(world.action_space.n, (16,), generator=generator)
        later, reward, done, info = world.step(actions)
        assert all(torch.equal(view[entry], kept[entry]) for entry in view)
        check_world_step((later, reward, done, info), layout, 16)
        assert reward.dtype == torch.float32
        assert reward.abs().max() <= world.reward_bound
        assert done.dtype == info["success"].dtype == torch.bool
        view = later


@pytest.mark.parametrize("name", WORLDS)
def test_the_seed_decides_everything_drawn(name: str) -> None:
    """Same seed and actions, same course; another seed, another one."""

    def course(seed: int) -> list[Tensor]:
        world = make_world(name, num_envs=8, seed=seed)
        generator = torch.Generator().manual_seed(9)
        seen = list(world.reset().values())
        for _ in range(200):
            view, *_ = world.step(torch.randint(world.action_space.n, (8,), generator=generator))
            seen += view.values()
        return seen

    first, again, other = course(3), course(3), course(4)
    assert all(map(torch.equal, first, again))
    assert not all(map(torch.equal, first, other))


@pytest.mark.parametrize("name", WORLDS)
def test_the_number_of_sub_environments_can_be_overridden(name: str) -> None:
    """The argument counts before `config.num_envs`."""
    config = EnvConfig(num_envs=4, seed=0)
    assert world_module(name).create_world(config).num_envs == 4
    assert world_module(name).create_world(config, num_envs=6).num_envs == 6


@pytest.mark.parametrize("name", WORLDS)
def test_the_candidates_observations_lie_in_their_space(name: str) -> None:
    """Every number of a few hundred observations is within the space the candidate declares."""
    env = observed_world(name, num_envs=16)
    act, obs = random_policy(env), env.reset()["obs"]
    for _ in range(300):
        assert obs.shape == (16, *env.observation_space.shape)
        assert obs.min() >= float(env.observation_space.low.min())
        assert obs.max() <= float(env.observation_space.high.max())
        obs = env.step(act(obs))[0]["obs"]


@pytest.mark.long
@pytest.mark.parametrize(
    ("name", "episodes", "seeds", "gain"), [("breakout", 6, 1, 3), ("metamaze", 32, 2, 3)]
)
def test_the_baseline_learns_something(name: str, episodes: int, seeds: int, gain: float) -> None:
    """Within the ladder's first rung a policy beats random play clearly, its actions drawn."""
    learnt = sum(trained(name, episodes, seed) for seed in range(seeds)) / seeds
    held_out = observed_world(name, num_envs=512, seed=2000)
    random, _ = play_episodes(held_out, random_policy(held_out))
    assert learnt > random.mean() + gain


def trained(name: str, episodes: int, seed: int) -> float:
    """Train as shipped; return the mean return of 512 held-out episodes, actions drawn."""
    module, env = load(name, "train"), observed_world(name, num_envs=32, seed=1000 + seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        policy = module.build_policy(env.observation_space, env.action_space)
    overrides = module.training_overrides(num_envs=32, max_steps=env.max_steps, device="cpu")
    config = PPOConfig.for_task(num_envs=32, max_steps=env.max_steps, **overrides)
    train(env, policy, config, episodes=episodes, seed=seed)
    generator = torch.Generator().manual_seed(seed)

    def act(obs: Tensor) -> Tensor:
        return torch.multinomial(policy(obs)[0].softmax(dim=-1), 1, generator=generator)[:, 0]

    returns, _ = play_episodes(observed_world(name, num_envs=512, seed=2000), act)
    return float(returns.mean())


def observed_world(name: str, *, num_envs: int, seed: int = 0) -> ObservedWorld:
    world = make_world(name, num_envs=num_envs, seed=seed)
    return ObservedWorld(world, Perception.of(load(name, "env")))


# -- Breakout ------------------------------------------------------------------------------------

STAY, LEFT, RIGHT = range(3)


@pytest.fixture
def breakout() -> Any:
    """One game with the whole wall, the ball in mid-air on its way down to the right."""
    world = make_world("breakout")
    place(world, ball=(6, 4), velocity=(1, 1), paddle=0)
    return world


def place(
    world: Any, *, ball: tuple[int, int], velocity: tuple[int, int], paddle: int | None = None
) -> None:
    """Put ball (row, column) and paddle (column); `velocity` is rows and columns a step."""
    world.ball.copy_(torch.tensor([ball]))
    world.velocity.copy_(torch.tensor([velocity]))
    world.inside_brick.fill_(value=False)
    if paddle is not None:
        world.paddle.fill_(paddle)


def ball(world: Any) -> tuple[tuple[int, int], tuple[int, int]]:
    """Its position and its velocity."""
    (row, column), (down, right) = world.ball[0].tolist(), world.velocity[0].tolist()
    return (row, column), (down, right)


def cells(layer: Tensor) -> list[list[int]]:
    return layer[0].nonzero().tolist()


def test_a_game_starts_at_either_side_below_the_wall() -> None:
    """30 bricks, the paddle at column 4, the ball in row 3 on its way down, inwards."""
    world = make_world("breakout", num_envs=1000)
    view = world.reset()
    assert view["bricks"].sum(dim=(1, 2)).eq(30).all()
    assert view["bricks"][:, 1:4].all()
    assert view["paddle"][:, 9, 4].all()
    assert torch.equal(view["ball"], view["trail"])
    from_left = view["ball"][:, 3, 0]
    assert torch.equal(~from_left, view["ball"][:, 3, 9])
    assert 400 < from_left.sum() < 600
    view, reward, done, _ = world.step(torch.full((1000,), STAY))
    assert view["ball"][from_left][:, 4, 1].all()
    assert view["ball"][~from_left][:, 4, 8].all()
    assert not reward.any()
    assert not done.any()


def test_the_paddle_moves_one_cell_and_stops_at_the_sides(breakout: Any) -> None:
    """Stay, left and right; at a side a move further does nothing."""
    for start, action, expected in (
        (0, LEFT, 0), (0, RIGHT, 1), (4, STAY, 4), (4, LEFT, 3), (9, RIGHT, 9),
    ):  # fmt: skip
        place(breakout, ball=(5, 4), velocity=(-1, 1), paddle=start)
        view, *_ = play(breakout, action)
        assert cells(view["paddle"]) == [[9, expected]]


def test_the_ball_flies_along_its_diagonal_and_leaves_a_trail(breakout: Any) -> None:
    """One cell down or up and one sideways; the trail is where it was."""
    view, *_ = play(breakout, STAY)
    assert cells(view["ball"]) == [[7, 5]]
    assert cells(view["trail"]) == [[6, 4]]


def test_sides_reflect_the_ball(breakout: Any) -> None:
    """At a side it keeps its column for a step and comes back."""
    place(breakout, ball=(6, 9), velocity=(1, 1))
    play(breakout, STAY)
    assert ball(breakout) == ((7, 9), (1, -1))
    place(breakout, ball=(6, 0), velocity=(-1, -1))
    play(breakout, STAY)
    assert ball(breakout) == ((5, 0), (-1, 1))


def test_the_ceiling_reflects_the_ball(breakout: Any) -> None:
    """At the ceiling it keeps its row for a step; in a corner it turns right round."""
    place(breakout, ball=(0, 4), velocity=(-1, 1))
    play(breakout, STAY)
    assert ball(breakout) == ((0, 5), (1, 1))
    place(breakout, ball=(0, 9), velocity=(-1, 1))
    play(breakout, STAY)
    assert ball(breakout) == ((0, 9), (1, -1))


def test_a_brick_breaks_pays_and_reflects(breakout: Any) -> None:
    """The ball stays in its row, goes back down, and the brick is gone."""
    place(breakout, ball=(4, 4), velocity=(-1, 1))
    view, rewards, done, info = play(breakout, STAY)
    assert rewards == [1.0]
    assert ball(breakout) == ((4, 5), (1, 1))
    assert cells(~view["bricks"][:, 1:4]) == [[2, 5]]  # row 3, counted from row 1
    assert not done
    assert not info["success"]


def test_a_ball_inside_a_brick_flies_on(breakout: Any) -> None:
    """Reflected into the next brick, it breaks none until it has been outside again."""
    breakout.bricks[:, 2] = False  # a gap between the outer rows
    place(breakout, ball=(2, 4), velocity=(-1, 1))
    _, rewards, *_ = play(breakout, STAY)
    assert rewards == [1.0]
    assert ball(breakout) == ((2, 5), (1, 1))
    _, rewards, *_ = play(breakout, STAY, STAY)
    assert rewards == [0.0, 0.0]  # (3, 6) is a brick, but (1, 5) was one too
    assert ball(breakout) == ((4, 7), (1, 1))
    assert breakout.bricks[0, 3, 6]


def test_the_paddle_reflects_a_ball_right_above_it(breakout: Any) -> None:
    """Straight up again: it keeps its sideways direction, moves on and stays in its row."""
    place(breakout, ball=(8, 4), velocity=(1, 1), paddle=4)
    _, rewards, done, _ = play(breakout, STAY)
    assert ball(breakout) == ((8, 5), (-1, 1))
    assert rewards == [0.0]
    assert not done


def test_the_paddle_turns_back_a_ball_from_beside(breakout: Any) -> None:
    """Where the ball would have landed on the paddle it goes back the way it came."""
    place(breakout, ball=(8, 4), velocity=(1, 1), paddle=5)
    play(breakout, STAY)
    assert ball(breakout) == ((8, 5), (-1, -1))


def test_the_paddle_moves_before_the_ball(breakout: Any) -> None:
    """A move in the last moment saves the ball, or loses it."""
    place(breakout, ball=(8, 4), velocity=(1, 1), paddle=6)
    _, _, done, _ = play(breakout, LEFT)
    assert not done
    place(breakout, ball=(8, 4), velocity=(1, 1), paddle=5)
    _, _, done, _ = play(breakout, RIGHT)
    assert done


def test_at_a_side_the_paddle_catches_the_ball_right_above_it(breakout: Any) -> None:
    """Side and paddle at once: the ball turns right round, within its column."""
    place(breakout, ball=(8, 9), velocity=(1, 1), paddle=9)
    play(breakout, STAY)
    assert ball(breakout) == ((8, 9), (-1, -1))


def test_a_lost_ball_ends_the_game_and_starts_a_new_one(breakout: Any) -> None:
    """The view returned is the next game's first; the last one is in `final_view`."""
    breakout.bricks[0, 1, 1] = False
    place(breakout, ball=(8, 4), velocity=(1, 1), paddle=0)
    view, rewards, done, info = play(breakout, STAY)
    assert done
    assert rewards == [0.0]
    assert not info["success"]
    assert not info["truncated"]
    assert cells(info["final_view"]["ball"]) == [[9, 5]]
    assert view["bricks"].sum() == 30
    assert cells(view["paddle"]) == [[9, 4]]
    assert cells(view["ball"]) in ([[3, 0]], [[3, 9]])
    assert breakout.steps == 0


def test_the_last_brick_is_success_and_brings_a_new_wall(breakout: Any) -> None:
    """The new wall stands when the ball is next at the paddle, not before."""
    breakout.bricks.fill_(value=False)
    breakout.bricks[0, 3, 5] = True
    place(breakout, ball=(4, 4), velocity=(-1, 1), paddle=9)
    view, rewards, done, info = play(breakout, STAY)
    assert rewards == [1.0]
    assert info["success"]
    assert not view["bricks"].any()
    view, rewards, done, info = play(breakout, STAY, STAY, STAY, STAY)
    assert not view["bricks"].any()
    assert ball(breakout) == ((8, 9), (1, 1))
    view, rewards, done, info = play(breakout, STAY)
    assert view["bricks"].sum() == 30
    assert rewards == [0.0]
    assert not info["success"]
    assert not done


def test_breakout_is_cut_short_at_the_horizon() -> None:
    """A game still on after `max_steps` is done and truncated, with the view that ended it."""
    world = make_world("breakout", max_steps=5)
    for step in range(1, 6):
        _, _, done, info = world.step(torch.tensor([STAY]))
        assert done.item() == info["truncated"].item() == (step == 5)
    assert cells(info["final_view"]["ball"]) in ([[8, 5]], [[8, 4]])
    assert world.steps == 0


def follow(view: dict[str, Tensor]) -> Tensor:
    """Move the paddle to the column where the ball is."""
    paddle = view["paddle"][:, 9].int().argmax(dim=1)
    column = view["ball"].any(dim=1).int().argmax(dim=1)
    return torch.where(column < paddle, LEFT, torch.where(column > paddle, RIGHT, STAY))


def test_following_the_ball_never_loses_it() -> None:
    """What the view shows is enough to play on to the horizon: 84 bricks, two walls and more."""
    world = make_world("breakout", num_envs=64)
    view, returns = world.reset(), torch.zeros(64)
    solved = torch.zeros(64, dtype=torch.bool)
    for _ in range(world.max_steps):
        view, reward, done, info = world.step(follow(view))
        returns += reward
        solved |= info["success"]
        assert torch.equal(done, info["truncated"])
    assert done.all()
    assert returns.eq(84).all()
    assert solved.all()


# -- meta-maze -----------------------------------------------------------------------------------

UP, RIGHTWARD, DOWN, LEFTWARD = range(4)
CENTRE = (5, 5)


@pytest.fixture
def maze() -> Any:
    """One maze with the goal in the upper left corner."""
    world = make_world("metamaze")
    world.goal.copy_(torch.tensor([(1, 1)]))
    return world


def stand(world: Any, position: tuple[int, int]) -> None:
    world.agent.copy_(torch.tensor([position]))


def drop(world: Any, *positions: tuple[int, int]) -> None:
    """Have the next draws of cells give these."""
    drawn = iter(positions)
    world._draw_cells = lambda: torch.tensor([next(drawn)])


def where(world: Any) -> tuple[int, int]:
    row, column = world.agent[0].tolist()
    return row, column


def test_the_maze_has_65_free_cells() -> None:
    """Pillars where both coordinates are odd, solid wall around."""
    drawn = ["".join(".#"[wall] for wall in row) for row in make_world("metamaze").walls.tolist()]
    wall, clear, pillars = "###########", "#.........#", "#.#.#.#.#.#"
    assert drawn == [wall, *4 * [clear, pillars], clear, wall]
    assert len(make_world("metamaze").cells) == 65


def test_an_episode_starts_at_the_centre_with_a_goal_drawn_anew() -> None:
    """Every free cell is some episode's goal, about as often as any other."""
    world = make_world("metamaze", num_envs=6500)
    view = world.reset()
    assert (world.agent == torch.tensor(CENTRE)).all()
    assert not view["time"].any()
    assert not view["last_action"].any()
    assert not view["last_reward"].any()
    goals, counts = world.goal.unique(dim=0, return_counts=True)
    assert torch.equal(goals, world.cells)
    assert counts.min() > 60
    assert counts.max() < 145


@pytest.mark.parametrize(
    ("start", "action", "end"),
    [
        (CENTRE, UP, (4, 5)),
        (CENTRE, RIGHTWARD, (5, 6)),
        (CENTRE, DOWN, (6, 5)),
        (CENTRE, LEFTWARD, (5, 4)),
        ((1, 9), UP, (1, 9)),
        ((1, 9), RIGHTWARD, (1, 9)),
        ((9, 1), DOWN, (9, 1)),
        ((9, 1), LEFTWARD, (9, 1)),
        ((1, 2), DOWN, (1, 2)),  # a pillar
        ((2, 1), RIGHTWARD, (2, 1)),
    ],
)
def test_moves_and_walls(
    maze: Any, start: tuple[int, int], action: int, end: tuple[int, int]
) -> None:
    """One cell a move; walls and pillars stop it, at no cost."""
    stand(maze, start)
    view, rewards, done, _ = play(maze, action)
    assert where(maze) == end
    assert rewards == [0.0]
    assert not done
    assert view["last_action"].tolist() == [action]
    assert view["time"].tolist() == [1]


def test_the_view_shows_the_walls_around(maze: Any) -> None:
    """Three by three cells with the agent in the middle; nothing of the goal."""
    stand(maze, (1, 2))
    view, *_ = play(maze, LEFTWARD)  # onto the goal, and off at random
    stand(maze, (1, 2))
    assert maze._view()["walls"][0].int().tolist() == [[1, 1, 1], [0, 0, 0], [0, 1, 0]]
    stand(maze, CENTRE)
    assert maze._view()["walls"][0].int().tolist() == [[1, 0, 1], [0, 0, 0], [1, 0, 1]]
    assert view.keys() == {"walls", "last_action", "last_reward", "time"}


def test_the_goal_pays_and_drops_the_agent_elsewhere(maze: Any) -> None:
    """Reward 10, a free cell at random, the goal where it was; found again, it is success."""
    stand(maze, (1, 2))
    drop(maze, (2, 1), CENTRE, (7, 5), CENTRE)  # each step draws a cell, and a goal for a reset
    view, rewards, done, info = play(maze, LEFTWARD)
    assert rewards == [10.0]
    assert view["last_reward"].tolist() == [10.0]
    assert where(maze) == (2, 1)
    assert maze.goal.tolist() == [[1, 1]]
    assert not done
    assert not info["success"]
    view, rewards, done, info = play(maze, UP)
    assert rewards == [10.0]
    assert where(maze) == (7, 5)
    assert not done
    assert info["success"]


def test_dropped_right_on_the_goal_the_episode_ends(maze: Any) -> None:
    """It pays once, and the next episode starts at the centre with a goal of its own."""
    stand(maze, (1, 2))
    drop(maze, (1, 1), (3, 3))
    view, rewards, done, info = play(maze, LEFTWARD)
    assert rewards == [10.0]
    assert done
    assert not info["success"]
    assert where(maze) == CENTRE
    assert maze.goal.tolist() == [[3, 3]]
    assert view["time"].tolist() == [0]
    assert view["last_reward"].tolist() == [0.0]


def test_drops_are_spread_over_all_free_cells() -> None:
    """Every free cell is as likely, the goal included."""
    world = make_world("metamaze", num_envs=6500)
    world.goal.copy_(torch.tensor((4, 5)).expand_as(world.goal))
    _, reward, done, _ = world.step(torch.full((6500,), UP))
    assert reward.eq(10).all()
    assert 60 < done.sum() < 145
    places, counts = world.agent[~done].unique(dim=0, return_counts=True)
    assert len(places) == 64
    assert counts.max() < 145


def test_the_maze_ends_at_the_horizon(maze: Any) -> None:
    """After 200 steps the episode is done: no truncation, no reward of its own."""
    for step in range(1, 201):
        view, rewards, done, info = play(maze, DOWN)
        assert done == (step == 200)
        assert "truncated" not in info
        assert rewards == [0.0]
    assert view["time"].tolist() == [0]
    assert where(maze) == CENTRE


# -- step by step against the originals ----------------------------------------------------------

DIRECTIONS = {(-1, -1): 0, (-1, 1): 1, (1, 1): 2, (1, -1): 3}  # MinAtar's codes of (rows, columns)


def varied_play(world: Any, generator: torch.Generator) -> Tensor:
    """From half at random to always in the ball's way: every rule is met, and the horizon too."""
    skill = torch.linspace(0.5, 1.1, world.num_envs)
    skilled = torch.rand(world.num_envs, generator=generator) < skill
    ahead = (torch.arange(world.num_envs) % 2) * world.velocity[:, 1]
    column = (world.ball[:, 1] + ahead).clamp(0, 9)
    follow = torch.where(column < world.paddle, LEFT, RIGHT)
    follow = torch.where(column == world.paddle, STAY, follow)
    return torch.where(skilled, follow, torch.randint(3, skilled.shape, generator=generator))


def breakout_state(world: Any, index: int) -> dict[str, Any]:
    """The state of one game under the names that MinAtar and gymnax both use."""
    (y, x), (last_y, last_x) = world.ball[index].tolist(), world.trail[index].tolist()
    return {
        "ball_y": y,
        "ball_x": x,
        "last_y": last_y,
        "last_x": last_x,
        "ball_dir": DIRECTIONS[tuple(world.velocity[index].tolist())],
        "pos": int(world.paddle[index]),
        "brick_map": world.bricks[index].numpy().astype(float),
        "strike": bool(world.inside_brick[index]),
    }


def layers(view: dict[str, Tensor]) -> np.ndarray:
    """A Breakout view as `[N, 10, 10, 4]`, in the order of MinAtar's channels."""
    order = ("paddle", "ball", "trail", "bricks")
    return torch.stack([view[name] for name in order], dim=-1).numpy()


@pytest.mark.system
def test_breakout_plays_as_minatar_does() -> None:
    """Thousands of steps of 16 games: the same layers, rewards and ends at every one."""
    minatar = pytest.importorskip("minatar.environments.breakout")
    world = make_world("breakout", num_envs=16, max_steps=10**6)
    generator = torch.Generator().manual_seed(1)
    games = [minatar.Env() for _ in range(16)]
    ended, paid = [True] * 16, 0.0
    for _ in range(4000):
        for index, game in enumerate(games):
            if ended[index]:  # which of its two sides the ball starts from is drawn
                game.reset()
                vars(game).update(breakout_state(world, index))
        actions = varied_play(world, generator)
        _, reward, done, info = world.step(actions)
        full_set = [game.minimal_action_set() for game in games]
        outcomes = [
            game.act(moves[action])
            for game, moves, action in zip(games, full_set, actions.tolist(), strict=True)
        ]
        rewards, ended = map(list, zip(*outcomes, strict=True))
        assert reward.tolist() == rewards
        assert done.tolist() == ended
        assert np.array_equal(layers(info["final_view"]), [game.state() for game in games])
        paid += sum(rewards)
    assert paid > 1000


@pytest.mark.system
def test_breakout_plays_as_gymnax_does() -> None:
    """Thousands of steps of 64 games, horizon included: the same layers, rewards and ends."""
    jax, gymnax = pytest.importorskip("jax"), pytest.importorskip("gymnax")
    env, params = gymnax.make("Breakout-MinAtar")
    assert env.num_actions == 3
    assert params.max_steps_in_episode == HORIZONS["breakout"]
    key = jax.random.PRNGKey(0)
    step = jax.jit(jax.vmap(partial(env.step_env, params=params), in_axes=(None, 0, 0)))
    reset = jax.vmap(partial(env.reset_env, params=params))
    world = make_world("breakout", num_envs=64)
    generator = torch.Generator().manual_seed(2)
    _, state = reset(jax.random.split(key, 64))
    done = torch.ones(64, dtype=torch.bool)
    walls = cuts = 0
    for _ in range(2500):
        if done.any():
            state = with_new_games(jax, state, world, done)
        actions = varied_play(world, generator)
        _, reward, done, info = world.step(actions)
        seen, state, paid, lost, _ = step(key, state, actions.numpy())
        out_of_time = np.asarray(state.time) >= params.max_steps_in_episode
        assert np.array_equal(layers(info["final_view"]), np.asarray(seen).astype(bool))
        assert np.array_equal(reward.numpy(), np.asarray(paid))
        assert np.array_equal(done.numpy(), np.asarray(lost) | out_of_time)
        walls, cuts = walls + int(info["success"].sum()), cuts + int(info["truncated"].sum())
    assert walls >= 10
    assert cuts >= 10


def with_new_games(jax: Any, state: Any, world: Any, new: Tensor) -> Any:
    """Gymnax's states with those of new games taken from the world (their start is drawn)."""
    fresh = [breakout_state(world, index) for index in range(world.num_envs)]
    start = {name: np.stack([each[name] for each in fresh]) for name in fresh[0]}
    start |= {"time": np.zeros(world.num_envs, int), "terminal": np.zeros(world.num_envs, bool)}

    def pick(name: str) -> Any:
        old = np.asarray(getattr(state, name))
        chosen = new.numpy().reshape(-1, *[1] * (old.ndim - 1))
        return jax.numpy.asarray(np.where(chosen, start[name].astype(old.dtype), old))

    return state.replace(**{name: pick(name) for name in start})


@pytest.mark.system
def test_the_maze_plays_as_gymnax_does() -> None:
    """Thousands of steps of 256 mazes: the same view, rewards and ends, given gymnax's draws."""
    jax, gymnax = pytest.importorskip("jax"), pytest.importorskip("gymnax")
    count, steps = 256, 1000
    env, params = gymnax.make("MetaMaze-misc")
    assert params.max_steps_in_episode == HORIZONS["metamaze"]
    step = jax.jit(jax.vmap(partial(env.step_env, params=params)))
    reset = jax.jit(jax.vmap(partial(env.reset_env, params=params)))
    world = make_world("metamaze", num_envs=count)
    assert np.array_equal(world.walls.numpy(), ~np.asarray(env.env_map).astype(bool))
    assert np.array_equal(world.cells.numpy(), np.asarray(env.coords))

    key = jax.random.PRNGKey(3)
    generator = torch.Generator().manual_seed(3)
    seen, state = reset(jax.random.split(key, count))
    world._draw_cells = lambda: torch.tensor(np.asarray(state.goal), dtype=torch.int64)
    assert_same_maze_view(world.reset(), seen)
    ends = finds = early = 0
    for _ in range(steps):
        key, key_step, key_reset = jax.random.split(key, 3)
        # Short straight runs get about more than single random moves do.
        turns = torch.rand(count, generator=generator) < 0.5
        drawn = torch.randint(4, (count,), generator=generator)
        actions = torch.where(turns, drawn, world.last_action)
        seen, after, paid, over, _ = step(jax.random.split(key_step, count), state, actions.numpy())
        over = np.asarray(over) | (np.asarray(after.time) >= params.max_steps_in_episode)
        first_seen, fresh = reset(jax.random.split(key_reset, count))
        # Where the goal was reached, gymnax's position is what it drew.
        draws = iter((after.pos, fresh.goal))
        world._draw_cells = lambda draws=draws: torch.tensor(
            np.asarray(next(draws)), dtype=torch.int64
        )
        view, reward, done, info = world.step(actions)
        assert np.array_equal(reward.numpy(), np.asarray(paid))
        assert np.array_equal(done.numpy(), over)
        state = jax.tree.map(partial(where_over, jax, over), fresh, after)
        assert np.array_equal(world.agent.numpy(), np.asarray(state.pos))
        assert_same_maze_view(info["final_view"], seen)
        assert_same_maze_view(view, where_over(jax, over, first_seen, seen))
        ends, finds = ends + int(over.sum()), finds + int((reward > 0).sum())
        early += int((over & (np.asarray(after.time) < params.max_steps_in_episode)).sum())
    assert ends >= count * (steps // HORIZONS["metamaze"])
    assert finds > 1000
    assert early > 10


def where_over(jax: Any, over: np.ndarray, fresh: Any, old: Any) -> Any:
    """`fresh` where an episode is over, else `old`."""
    chosen = over.reshape(-1, *[1] * (np.ndim(old) - 1))
    return jax.numpy.where(chosen, fresh, old).astype(jax.numpy.asarray(old).dtype)


def assert_same_maze_view(view: dict[str, Tensor], seen: Any) -> None:
    """Compare with gymnax's observation: 9 walls, the last action one-hot, last reward, time."""
    action = torch.nn.functional.one_hot(view["last_action"], 4)
    parts = (view["walls"].flatten(1), action, view["last_reward"][:, None], view["time"][:, None])
    assert np.array_equal(torch.cat([part.float() for part in parts], dim=1), np.asarray(seen))
