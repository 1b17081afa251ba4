"""Replays drawn: in a terminal, as text, as a GIF."""

import os
import pty
import signal
import subprocess
import sys
import time

import pytest
from PIL import Image

from simverse import replay_document
from simverse.core.layers import layers_of
from simverse.drawing import movie
from simverse.errors import EnvironmentContractError
from simverse.replay_reading import check_replay
from simverse.watch import show, write_gif
from tests.conftest import REPOSITORY


def document(steps=3, shape=(2, 2, 3), *, frames=None, layers=None, **more):
    """Return a replay in which a walker (channel 1) goes along the upper row of a 2 x 3 grid."""
    size = shape[0] * shape[1] * shape[2]
    if frames is None:
        frames = []
        for step in range(steps):
            frame = [0.0] * size
            frame[5] = 1.0  # a wall, in channel 0
            frame[6 + step % 3] = 1.0
            frames.append(frame)
    fields = {
        "env": "Walk", "description": "along the row", "channels": ["wall", "walker"],
        "observation_shape": shape, "num_actions": 2, "horizon": 2000, "seed": None,
        "frames": frames, "last_frame": None, "layers": layers,
        "steps": [
            replay_document.step(action=1, reward=0.5, done=n == steps - 1, success=n == steps - 1)
            for n in range(steps)
        ],
    }  # fmt: skip
    made = replay_document.build(**fields | more)
    check_replay(made)
    return made


def text(replay, capsys):
    show(movie(replay), sys.stdout, ascii_only=False)
    return capsys.readouterr().out


def test_a_pipe_gets_frames_as_plain_text(capsys):
    """Every step, with its legend, and no codes."""
    out = text(document(), capsys)
    assert "\x1b" not in out
    assert [line for line in out.splitlines() if line.startswith("step")] == [
        "step 1/3  action 1  reward +0.5  return 0.5",
        "step 2/3  action 1  reward +0.5  return 1",
        "step 3/3  action 1  reward +0.5  return 1.5 done solved",
    ]
    assert "\n. A .\n. . W\nW wall  A walker\n" in out


def test_layers_come_before_observations_and_keep_their_order(capsys):
    """The last one is on top; their names are the legend, whatever the observation is."""
    layers = replay_document.layers(["sea", "ship"], (2, 1, 3), [[1, 1, 1, 0, 1, 0]] * 3)
    out = text(document(layers=layers), capsys)
    assert "\nS H S\nS sea  H ship\n" in out
    assert "wall" not in out


def test_fields_of_a_view_are_grids_and_numbers(capsys):
    """A matrix is drawn, a position and a flag are told."""
    frames = [[1, 0, 0, 1, 4, 5, 1]] * 3
    out = text(
        document(
            shape=(1, 1, 7), frames=frames, channels=None,
            view="walls bool [2, 2], agent int64 [2], has_key bool []",
        ),
        capsys,
    )  # fmt: skip
    assert "\nW .\n. W\nW walls\n" in out
    assert "agent 4 5  has_key 1" in out


def test_foreign_texts_command_no_terminal(capsys):
    """A candidate's description and names may hold anything."""
    layers = replay_document.layers(["\x1b]0;x\x07"], (1, 1, 14), [[1] + [0] * 13] * 3)
    out = text(document(env="\x1b[2J", description="a\nb\x9b5n", layers=layers), capsys)
    assert not set(out) & {"\x1b", "\x9b", "\x07"}
    assert out.startswith("?[2J: a b?5n\n")


@pytest.mark.parametrize("steps", [1, 7])
def test_a_gif_has_a_frame_for_each_step(tmp_path, steps):
    """Pillow opens it; the walker's cell is painted, others are not."""
    path = tmp_path / "walk.gif"
    assert write_gif(movie(document(steps)), path) == steps
    with Image.open(path) as image:
        assert image.n_frames == steps
        image.seek(steps - 1)
        assert image.info.get("duration", 1500) == 1500
        colours = image.convert("RGB").getcolors(100_000)
    assert len(colours) >= 4


def test_without_pillow_there_is_one_clear_line(tmp_path, sim, monkeypatch):
    """And no file."""
    replay = tmp_path / "r.json"
    replay.write_text(replay_document.dumps(document()))
    monkeypatch.setitem(sys.modules, "PIL", None)
    code, out, err = sim("watch", replay, "--gif", tmp_path / "x.gif")
    assert (code, out, err) == (1, "", "sim: a GIF needs Pillow: `pip install pillow`\n")
    assert not (tmp_path / "x.gif").exists()


@pytest.mark.parametrize("content", [b"", b"[", b"{}", b"\xff", b"[" * 100_000, b'{"schema": 1}'])
def test_what_is_no_replay_is_refused(tmp_path, sim, content):
    """By one line."""
    (tmp_path / "r.json").write_bytes(content)
    code, out, err = sim("watch", tmp_path / "r.json")
    assert (code, out) == (1, "")
    assert len(err.splitlines()) == 1


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"names": ["a"]}, "are not 2 texts"),
        ({"shape": [2, 3]}, "must be [L, H, W]"),
        ({"frames": []}, "layers of 0 steps"),
        ({"frames": [{"runs": [1, 5]}] * 3}, "5 values instead of 6"),
        ({"more": 1}, "unknown key 'more'"),
    ],
)
def test_wrong_layers_are_named(change, says):
    """A replay says what is wrong with it."""
    layers = replay_document.layers(["sea", "ship"], (2, 1, 3), [[0] * 6] * 3)
    replay = document(layers=layers)
    replay["layers"] |= change
    with pytest.raises(Exception, match=says.replace("[", r"\[")):
        check_replay(replay)


class Drawn:
    """Draws whatever it is given."""

    def __init__(self, found):
        self.found = found

    def render_layers(self, index):
        return self.found


def test_layers_are_checked():
    """Names, sizes and values: what can't be drawn is said in a line."""
    import torch

    grid = torch.ones(2, 3, dtype=torch.bool)
    names, grids = layers_of(Drawn({"a": grid, "b": torch.full((2, 3), 7)}), 0)
    assert (names, grids.dtype, grids.flatten().tolist()) == (
        ["a", "b"], torch.float32, [1.0] * 6 + [7.0] * 6,
    )  # fmt: skip
    for found in (
        None, {}, [grid], {"\n": grid}, {"a": 1}, {"a": grid[0]}, {"a": grid, "b": grid.t()},
        {"a": torch.full((2, 2), torch.nan)}, {"a": torch.zeros(257, 2)},
        {str(n): torch.zeros(256, 256) for n in range(5)},
        {str(n): grid for n in range(33)}, {"a": grid + 1j},
    ):  # fmt: skip
        with pytest.raises(EnvironmentContractError):
            layers_of(Drawn(found), 0)


# What runs the tests may ignore interrupts (a shell's background job does), and hand that on.
INTERRUPTIBLE = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
from simverse.cli import main
sys.exit(main())
"""


@pytest.mark.system
def test_a_terminal_is_animated_and_left_as_it_was(tmp_path):
    """Codes only there; interrupted, it ends with 130 and the cursor is back."""
    replay = tmp_path / "r.json"
    replay.write_text(replay_document.dumps(document(1000)))
    own, its = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", INTERRUPTIBLE, "watch", str(replay)],
        cwd=REPOSITORY, stdout=its, stderr=subprocess.PIPE, env=os.environ | {"TERM": "xterm"},
    )  # fmt: skip
    os.close(its)
    seen, give_up_at = b"", time.monotonic() + 60
    while b"step 3/1000" not in seen:
        assert time.monotonic() < give_up_at, seen
        seen += os.read(own, 65536)
    process.send_signal(signal.SIGINT)
    while True:
        try:
            seen += os.read(own, 65536)
        except OSError:  # the other end is closed
            break
    assert process.wait(timeout=20) == 130
    assert process.stderr.read() == b""
    process.stderr.close()
    os.close(own)
    assert seen.startswith(b"\x1b[?25l")
    assert b"\x1b[48;5;" in seen
    assert seen.rstrip().endswith(b"\x1b[?25h")
