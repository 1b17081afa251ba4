"""The configuration: what is read, what wins, and how wrong input is named."""

import os
import re
from pathlib import Path

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from orchestrator.config.loading import load_config
from orchestrator.config.schema import Config, JudgeConfig
from orchestrator.core.errors import UserError
from orchestrator.core.records import Rung
from tests.config.helpers import complaints, load, value_at
from tests.conftest import REPOSITORY

# -- the shipped file ------------------------------------------------------------------------------


def test_shipped_file_is_the_defaults() -> None:
    """The shipped config.yaml says what the schema assumes, but for the tighter reward bound."""
    shipped = load_config(REPOSITORY / "config.yaml", environment={})
    expected = Config().model_dump()
    expected["evaluator"]["reward_bound"] = 1.0
    assert shipped.model_dump() == expected


def test_shipped_file_names_every_key() -> None:
    """Every key of the schema stands in the shipped config.yaml."""
    shipped = yaml.safe_load((REPOSITORY / "config.yaml").read_text())
    for name, section in Config().model_dump().items():
        assert name in shipped
        if isinstance(section, dict):
            assert list(shipped[name]) == list(section)


def test_absent_reward_bound_is_ten(tmp_path: Path) -> None:
    """A workspace without evaluator.reward_bound gets 10, the evaluator's own default."""
    assert load(tmp_path, "").evaluator.reward_bound == 10.0


# -- values ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("dotted", "text", "value"),
    [
        ("judge.min_effect", "1e-4", 0.0001),
        ("limits.cost_usd", "1E2", 100.0),
        ("limits.hours", ".5", 0.5),
        ("limits.hours", "5.", 5.0),
        ("limits.hours", "12", 12.0),
        ("limits.experiments", "010", 10),
        ("limits.experiments", "+5", 5),
        ("limits.experiments", "null", None),
        ("limits.experiments", "~", None),
        ("limits.experiments", "", None),
        ("agent.model", "no", "no"),
        ("agent.model", "yes", "yes"),
        ("agent.model", "on", "on"),
        ("agent.model", "True", "True"),
        ("agent.model", "12:30", "12:30"),
        ("agent.model", "2026-11-22", "2026-11-22"),
        ("agent.model", "0x10", "0x10"),
        ("agent.model", "1_000", "1_000"),
        ("agent.model", "'5'", "5"),
        ("sandbox", "off", "off"),
    ],
)
def test_plain_values_mean_what_they_look_like(
    tmp_path: Path, dotted: str, text: str, value: object
) -> None:
    """A value in the file is a number, null or text as a person would read it."""
    *sections, key = dotted.split(".")
    line = f"{sections[0]}:\n  {key}: {text}\n" if sections else f"{key}: {text}\n"
    found = value_at(load(tmp_path, line), dotted)
    assert (type(found), found) == (type(value), value)


@pytest.mark.parametrize(
    ("dotted", "text"),
    [
        ("limits.experiments", "true"),
        ("limits.experiments", "1.0"),
        ("limits.experiments", "'5'"),
        ("limits.experiments", "0"),
        ("limits.experiments", "-3"),
        ("limits.experiments", "1_000"),
        ("limits.experiments", "12:30"),
        ("limits.experiments", "no"),
        ("limits.experiments", "9" * 5000),
        ("limits.hours", "true"),
        ("limits.hours", "'5'"),
        ("limits.hours", ".nan"),
        ("limits.hours", ".inf"),
        ("limits.hours", "-.inf"),
        ("limits.hours", "1e999"),
        ("limits.hours", "0"),
        ("limits.hours", "[1]"),
        ("agent.timeout_s", "1e30"),
        ("agent.context_tokens", "9" * 99),
        ("agent.max_repairs", "3"),
        ("agent.temperature", "2.1"),
        ("agent.model", "4"),
        ("agent.model", "true"),
        ("agent.model", "''"),
        ("agent.model", '"a\\nb"'),
        ("agent.model", r'"\ud800"'),
        ("agent.model", r'"\UFFFFFFFF"'),
        ("agent.backend", "null"),
        ("agent.backend", "[openai]"),
        ("agent.backend", "openAI"),
        ("agent.base_url", "localhost:8000"),
        ("agent.base_url", "ftp://host/v1"),
        ("agent.base_url", "http://"),
        ("agent.base_url", "'http://host name/v1'"),
        ("agent.base_url", "http://host:99999/v1"),
        ("agent.base_url", "'http://[::1/v1'"),
        ("evaluator.device", "tpu"),
        ("evaluator.memory_mb", "1"),
        ("sandbox", "no"),
        ("sandbox", "false"),
        ("sandbox", "null"),
        ("logs.level", "off"),
    ],
)
def test_wrong_values_are_named_with_their_line(tmp_path: Path, dotted: str, text: str) -> None:
    """A value of the wrong type or out of range is one line that names the key and its place."""
    *sections, key = dotted.split(".")
    file = f"# one\n{sections[0]}:\n  {key}: {text}\n" if sections else f"\n\n{key}: {text}\n"
    (line,) = complaints(tmp_path, file)
    assert line.startswith("config.yaml:3: ") or "escape" in line or "digits" in line
    assert dotted in line or "not YAML" in line
    assert len(line) < 400


@pytest.mark.parametrize(
    ("dotted", "low", "high"),
    [
        ("agent.context_tokens", 2000, 10_000_000),
        ("agent.max_repairs", 0, 2),
        ("agent.temperature", 0, 2),
        ("agent.max_output_tokens", 1, None),
        ("agent.prices.input", 0, None),
        ("budget.max_train_episodes", 12, 1000),
        ("budget.max_eval_episodes", 8, 100),
        ("budget.patience", 1, None),
        ("evaluator.seed_count", 1, 64),
        ("evaluator.num_envs", 1, 65536),
        ("evaluator.workers", 1, None),
        ("evaluator.timeout_s", None, 1_000_000),
        ("evaluator.memory_mb", 256, 2**24),
        ("task.max_steps", 1, 100_000),
        ("judge.min_effect", 0, None),
    ],
)
def test_bounds_are_inclusive(
    tmp_path: Path, dotted: str, low: int | None, high: int | None
) -> None:
    """The least and the greatest value are taken, the next ones beyond are not."""
    text = "agent: {prices: {input: 1, output: 1}}\njudge: {rule: naive}"
    for bound, beyond in ((low, -1), (high, 1)):
        if bound is not None:
            assert value_at(load(tmp_path, text, f"{dotted}={bound}"), dotted) == bound
            (line,) = complaints(tmp_path, text, f"{dotted}={bound + beyond}")
            assert line.startswith(f"--set {dotted}: ")


def test_key_in_the_place_of_its_name_is_not_shown(tmp_path: Path) -> None:
    """Somebody who writes the key itself into agent.api_key_env does not find it in the error."""
    (line,) = complaints(tmp_path, "agent: {api_key_env: sk-very-secret}")
    assert "agent.api_key_env" in line
    assert "secret" not in line


@pytest.mark.parametrize(
    "value", ["ftp://user:hunter2@host/v1", "http://user:hunter2/@host", "[http://u:hunter2@h]"]
)
def test_a_password_in_a_broken_address_is_not_shown(tmp_path: Path, value: str) -> None:
    """Whatever is wrong with the address."""
    file = tmp_path / "config.yaml"
    file.write_text(
        f"agent: {{base_url: {value!r}}}\n"
        if value[0] != "["
        else f"agent: {{base_url: {value}}}\n"
    )
    with pytest.raises(UserError, match=r"agent\.base_url") as caught:
        load_config(file, environment={})
    assert "hunter2" not in str(caught.value)


REMOVED = [
    "budget.climb_when_blind", "budget.screen_below", "judge.prefer_simpler", "judge.screen",
    "judge.group_size", "judge.futility", "judge.reference", "judge.reference_step",
]  # fmt: skip


@pytest.mark.parametrize("name", ["cheap", "dear"])
def test_of_how_the_lead_moves_a_config_may_say_a_part(tmp_path: Path, name: str) -> None:
    """All other numbers are as shipped; an unknown one is named."""
    shipped = getattr(JudgeConfig(), name)
    expected = shipped.model_copy(update={"seeds": 9})
    inline = load(tmp_path, f"judge:\n  {name}:\n    seeds: 9\n")
    setting = load(tmp_path, "", f"judge.{name}.seeds=9")
    assert getattr(inline.judge, name) == getattr(setting.judge, name) == expected
    (line,) = complaints(tmp_path, f"judge:\n  {name}:\n    seed: 9\n")
    assert line.startswith(f"config.yaml:3: judge.{name}.seed: ")
    (line,) = complaints(tmp_path, f"judge:\n  {name}:\n    seeds: 0\n")
    assert line.startswith(f"config.yaml:3: judge.{name}.seeds: ")


@pytest.mark.parametrize("value", ["null", "true", "0.6"])
@pytest.mark.parametrize("dotted", REMOVED)
def test_what_was_removed_is_refused_by_name(tmp_path: Path, dotted: str, value: str) -> None:
    """Whatever its value: one line that says that the key went, and where it stands."""
    section, key = dotted.split(".")
    text = f"limits: {{hours: 2}}\n{section}:\n  {key}: {value}\n"
    (line,) = complaints(tmp_path, text)
    assert line.startswith(f"config.yaml:3: {dotted}: was removed in 0.2 (")
    assert line.endswith("); leave it out")
    (line,) = complaints(tmp_path, "", f"{dotted}={value}")
    assert line.startswith(f"--set {dotted}: {dotted}: was removed")
    variable = f"AUTORL_{section}__{key}".upper()
    (line,) = complaints(tmp_path, "", **{variable: value})
    assert line.startswith(f"{variable}: {dotted}: was removed")


def test_a_removed_key_is_named_wherever_it_stands(tmp_path: Path) -> None:
    """One line for each place, beside the other errors."""
    lines = complaints(
        tmp_path, "budget:\n  screen_below: 0.6\n  patience: 0\n", "budget.screen_below=0.5"
    )
    starts = ["config.yaml:2: budget.screen_below", "--set budget.screen_below", "config.yaml:3:"]
    assert all(line.startswith(start) for line, start in zip(lines, starts, strict=True))


# -- the ladder ------------------------------------------------------------------------------------


def test_rungs_are_the_ladder_within_both_caps(tmp_path: Path) -> None:
    """Rungs beyond either cap are left out."""
    config = load(
        tmp_path,
        "budget: {ladder: [[2, 1], [12, 8], [12, 9], [50, 10]],"
        " max_train_episodes: 40, max_eval_episodes: 8}",
    )
    assert config.budget.rungs == (Rung(2, 1), Rung(12, 8))


@pytest.mark.parametrize(
    ("ladder", "says"),
    [
        ("[[12, 8], [12, 8]]", "climb"),
        ("[[12, 8], [32, 4]]", "climb"),
        ("[[32, 8], [12, 8]]", "climb"),
        ("[[1, 8]]", "caps"),
        ("[[2, 0]]", "caps"),
        ("[[1001, 8]]", "caps"),
        ("[[12, 101]]", "caps"),
        ("[[12, -8]]", "caps"),
        ("[]", "pairs"),
        ("null", "pairs"),
        ("12", "pairs"),
        ("[12, 8]", "pairs"),
        ("[[12]]", "pairs"),
        ("[[12, 8, 1]]", "pairs"),
        ("[[12.0, 8]]", "pairs"),
        ("[[true, 8]]", "pairs"),
        ("[['12', 8]]", "pairs"),
        ("{12: 8}", "pairs"),
        ("12/8", "pairs"),
    ],
)
def test_bad_ladders_are_refused(tmp_path: Path, ladder: str, says: str) -> None:
    """A ladder that does not climb, leaves the caps or has another shape is one clear line."""
    (line,) = complaints(tmp_path, f"budget:\n  ladder: {ladder}\n")
    assert line.startswith("config.yaml:2: budget.ladder: ")
    assert says in line


def test_caps_below_the_ladder_are_refused(tmp_path: Path) -> None:
    """Caps that leave no rung are an error, not an empty run."""
    (line,) = complaints(tmp_path, "budget: {max_train_episodes: 5}")
    assert "no rung" in line


# -- keys ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "place", "hint"),
    [
        ("agent:\n  modle: x\n", "config.yaml:2: agent.modle:", "did you mean model?"),
        ("\nlimit: {}\n", "config.yaml:2: limit:", "did you mean limits?"),
        ("zzz: 1\n", "config.yaml:1: zzz:", "known: agent, agents"),
        (
            "agent:\n  prices:\n    input: 1\n    output: 2\n    outputs: 3\n",
            "config.yaml:5: agent.prices.outputs:",
            "did you mean output?",
        ),
        ("1: 2\n", "config.yaml:1: 1:", "unknown key"),
        ("null: 2\n", "config.yaml:1: null:", "unknown key"),
        ("true: 2\n", "config.yaml:1: true:", "unknown key"),
        ("agent: {1: 2}\n", "config.yaml:1: agent.1:", "unknown key"),
        ("<<: {agent: {}}\n", "config.yaml:1: <<:", "unknown key"),
        ('"a\\nb\\e[31m": 2\n', "config.yaml:1: a b:", "unknown key"),
        ("? [a]\n: 1\n", "config.yaml:1:", "a key must be a word"),
        ("? {a: 1}\n: 1\n", "config.yaml:1:", "a key must be a word"),
    ],
)
def test_unknown_keys_are_named(tmp_path: Path, text: str, place: str, hint: str) -> None:
    """An unknown key is named with its line, and with the nearest known one."""
    (line,) = complaints(tmp_path, text)
    assert line.startswith(place)
    assert hint in line


def test_duplicate_key_names_both_lines(tmp_path: Path) -> None:
    """A key that stands twice is an error that names both lines."""
    text = "agent:\n  model: a\n  # more\n  model: b\nlogs: {}\nagent:\n  model: c\n"
    assert complaints(tmp_path, text) == [
        "config.yaml:4: agent.model: stands twice, first on line 2",
        "config.yaml:6: agent: stands twice, first on line 1",
    ]


def test_every_error_is_reported_at_once(tmp_path: Path) -> None:
    """Errors of file, environment and settings are all listed, none hides another."""
    text = (
        "agent:\n  modle: x\nbugdet: 3\nlimits:\n  cost_usd: -1\n  experiments: true\n"
        "evaluator: {seed_count: 1e1, device: tpu, device: cpu}\n"
    )
    lines = complaints(tmp_path, text, "task.max_steps=0", "oops", AUTORL_LOGS__MAX_MB="big")
    said = "\n".join(lines)
    for part in (
        "config.yaml:2: agent.modle",
        "config.yaml:3: bugdet",
        "config.yaml:5: limits.cost_usd",
        "config.yaml:6: limits.experiments",
        "config.yaml:7: evaluator.seed_count",
        "config.yaml:7: evaluator.device: stands twice",
        "--set task.max_steps: task.max_steps",
        "--set oops: must be KEY=VALUE",
        "AUTORL_LOGS__MAX_MB: logs.max_mb",
    ):
        assert part in said
    assert len(lines) == 9


# -- files -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    ["", "\n\n", "# a comment\n", "---\n", "{}", "limits:\n", "limits: {}\n", "\ufefflimits:\n"],
)
def test_empty_files_and_sections_mean_the_defaults(tmp_path: Path, text: str) -> None:
    """An empty file or section is no error."""
    assert load(tmp_path, text) == Config()


@pytest.mark.parametrize(
    ("text", "start", "says"),
    [
        ("- a\n- b\n", "config.yaml: ", "mapping of sections, not list"),
        ("5", "config.yaml: ", "mapping of sections, not int"),
        ("just words", "config.yaml: ", "mapping of sections, not str"),
        ("agent: 5", "config.yaml:1: agent: ", "must be a section"),
        ("agent: [a]", "config.yaml:1: agent: ", "must be a section"),
        ("a: [", "config.yaml:1: ", "not YAML"),
        ("a: 'b", "config.yaml:1: ", "not YAML"),
        ("a: b: c", "config.yaml:1: ", "not YAML"),
        ("agent:\n\tmodel: x", "config.yaml:2: ", "'\\t'"),
        ("agent:\n  model: \x07", "config.yaml:2: ", "U+0007"),
        ("a: 1\n---\nb: 1", "config.yaml:2: ", "another document"),
        ("agent: &a {model: *a}", "config.yaml:1: ", "anchors"),
        ("agent: &a {}\nlimits: *a", "config.yaml:1: ", "anchors"),
        ("agent: *gone", "config.yaml:1: ", "anchors"),
        ("\nagent: !!python/object/apply:os.system [x]", "config.yaml:2: ", "tags"),
        ("agent: {model: !!int x}", "config.yaml:1: ", "tags"),
        ("agent: {model: !!timestamp x}", "config.yaml:1: ", "tags"),
        ("agent: {model: !mine x}", "config.yaml:1: ", "tags"),
        ("[" * 3000, "config.yaml:1: ", "nested too deeply"),
    ],
)
def test_what_is_no_configuration_is_one_clear_line(
    tmp_path: Path, text: str, start: str, says: str
) -> None:
    """Text that is not YAML, or YAML that a configuration never needs, is refused in one line."""
    (line,) = complaints(tmp_path, text)
    assert line.startswith(start)
    assert says in line


def test_aliases_that_would_fill_the_memory_are_refused_at_once(tmp_path: Path) -> None:
    """A "billion laughs" file is refused at its first anchor."""
    levels = "".join(f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 9)}]\n" for n in range(1, 30))
    (line,) = complaints(tmp_path, "l0: &l0 x\n" + levels)
    assert line.startswith("config.yaml:1: ")


def test_missing_file_names_the_cure(tmp_path: Path) -> None:
    """A missing config.yaml says what to run."""
    with pytest.raises(
        UserError, match=r"config\.yaml is missing .*`autorl-daemon init` writes one"
    ):
        load_config(tmp_path / "config.yaml", environment={})


def test_file_that_is_no_text_is_one_line(tmp_path: Path) -> None:
    """A file that is not UTF-8 is refused in one line."""
    (line,) = complaints(tmp_path, b"agent:\n  model: \xff\xfe\n")
    assert "can't be read" in line


def test_folder_in_its_place_is_one_line(tmp_path: Path) -> None:
    """A folder named config.yaml is refused in one line."""
    (tmp_path / "config.yaml").mkdir()
    with pytest.raises(UserError, match="can't be read"):
        load_config(tmp_path / "config.yaml", environment={})


# -- any text ---------------------------------------------------------------------------------------

PIECES = [
    *["agent", "limits", "model", "budget", "ladder", ": ", ":", "- ", "\n", "\n  ", "{", "}", "["],
    *[
        "]",
        ", ",
        "'",
        '"',
        "#",
        "&a ",
        "*a",
        "!!int ",
        "? ",
        "| ",
        "> ",
        "1e5",
        "010",
        "null",
        "---",
    ],
    *["\t", "\\U99999999", "%YAML 1.1", "<<", "\x00", "é", "=", "."],
]


@settings(deadline=None)
@given(
    text=st.lists(st.sampled_from(PIECES) | st.text(max_size=3), max_size=25).map("".join),
    setting=st.lists(st.sampled_from(PIECES) | st.text(max_size=3), max_size=8).map("".join),
)
@example("agent: {model: !!python/name:os.system }", "a=!")
def test_any_text_is_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, text: str, setting: str
) -> None:
    """Whatever stands in file and settings, the answer is a configuration or a UserError."""
    file = tmp_path_factory.getbasetemp() / "any.yaml"
    file.write_bytes(text.encode(errors="surrogatepass"))
    environment = {"AUTORL_AGENT__PRICES": setting}
    try:
        said = str(load_config(file, environment=environment, settings=[setting]))
    except UserError as error:
        said = str(error)
    assert said
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f\ud800-\udfff]", said)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[nondeterminism]", "unknown flag 'nondeterminism'; did you mean 'nondeterministic'?"),
        ("[noise]", "unknown flag 'noise'; known: policy-independent reward, nondeterministic"),
        ("nondeterministic", "valid list"),
        ("[3]", "valid string"),
        ("null", "valid list"),
    ],
)
def test_an_unknown_flag_is_named(tmp_path: Path, text: str, says: str) -> None:
    """`integrity.veto` is a list of flags there are; anything else is one line with the cure."""
    (line,) = complaints(tmp_path, f"integrity:\n  veto: {text}\n")
    assert line.startswith("config.yaml:2: integrity.veto")
    assert says in line


def test_vetoes_can_be_set_and_emptied(tmp_path: Path) -> None:
    """Any of the flags, by name; an empty list vetoes nothing."""
    assert load(tmp_path, "", "integrity.veto=[]").integrity.veto == []
    text = 'integrity: {veto: ["reward scale", "budget exceeded"]}'
    assert load(tmp_path, text).integrity.veto == ["reward scale", "budget exceeded"]


@pytest.mark.parametrize(
    "text",
    ["a" * 10_000_000 + ": 1", "ü" * 5_000_000, "x: [" + "1, " * 3_000_000 + "]", "[" * 10_000_000],
    ids=["key", "characters", "list", "nesting"],
)
def test_a_file_far_too_large_is_refused_at_once(tmp_path: Path, text: str) -> None:
    """One line names the limit; no YAML reader works on it for half a minute."""
    (tmp_path / "config.yaml").write_text(text)
    with pytest.raises(UserError, match="larger than 64 KiB") as caught:
        load_config(tmp_path / "config.yaml", environment={})
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(
    "setting", ["limits.hours=" + "[" * 100_000, ".".join("a" * 50_000) + "=1"]
)
def test_a_setting_far_too_long_is_refused_at_once(tmp_path: Path, setting: str) -> None:
    """The same bound holds for `--set` and for variables."""
    (tmp_path / "config.yaml").write_text("")
    with pytest.raises(UserError, match="too long for a setting"):
        load_config(tmp_path / "config.yaml", environment={}, settings=[setting])
    with pytest.raises(UserError, match="too long for a setting"):
        load_config(tmp_path / "config.yaml", environment={"AUTORL_LIMITS__HOURS": "[" * 100_000})


def test_thousands_of_wrong_keys_are_not_all_listed(tmp_path: Path) -> None:
    """The first hundred are named, and how many more there are."""
    (tmp_path / "config.yaml").write_text("".join(f"k{n}: 1\n" for n in range(1000)))
    with pytest.raises(UserError) as caught:
        load_config(tmp_path / "config.yaml", environment={})
    lines = str(caught.value).splitlines()
    assert (len(lines), lines[-1]) == (101, "and 900 more")


def test_a_pipe_in_place_of_the_file_is_not_waited_for(tmp_path: Path) -> None:
    """It is no file, and the command says so at once."""
    os.mkfifo(tmp_path / "config.yaml")
    with pytest.raises(UserError, match="no regular file"):
        load_config(tmp_path / "config.yaml", environment={})


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("veto: [gamimg]", "unknown opinion 'gamimg'; known: gaming, off limits, unsure"),
        ("veto: [earned]", "unknown opinion 'earned'"),
        ("veto: gaming", "should be a valid list"),
        ("enabled: true", "'auto', 'on' or 'off'"),
        ("enabled: no", "'auto', 'on' or 'off'"),
        ("api_key_env: sk-1234", "must be the name of an environment variable, never the key"),
        ("base_url: host", "must be an address like https://host/v1"),
        ("timeout_s: 0", "greater than 0"),
        ("prices: {in: 1, input: 1, output: 2}", "unknown key"),
        ("modle: m", "did you mean model?"),
    ],
)
def test_a_wrong_review_is_named(tmp_path: Path, text: str, why: str) -> None:
    """With its line, and without what may be a key."""
    lines = complaints(tmp_path, f"review:\n  {text}\n")
    assert all(line.startswith("config.yaml:2: review.") for line in lines[:1])
    assert why in lines[0]
    assert "sk-1234" not in lines[0]


def test_a_review_is_configured_by_strings(tmp_path: Path) -> None:
    """`on` and `off` are no booleans here."""
    review = load(tmp_path, "review: {enabled: off, veto: []}", "review.model=x").review
    assert (review.enabled, review.veto, review.model) == ("off", [], "x")
    assert load(tmp_path, "", AUTORL_REVIEW__ENABLED="on").review.enabled == "on"
