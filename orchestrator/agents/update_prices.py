"""Make the snapshot of prices again, from the public table of models.dev (MIT licence).

    python -m orchestrator.agents.update_prices [SOURCE] [--taken YYYY-MM-DD] [--revision TEXT]

SOURCE is the table's address (https://models.dev/api.json, the default), a copy of that file, or a
checkout of its repository (https://github.com/anomalyco/models.dev), whose `providers/` is read.
Look at the difference before you commit it.
"""

import argparse
import datetime as dt
import json
import sys
import tomllib
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from orchestrator.agents.prices import SNAPSHOT

TABLE = "https://models.dev/api.json"
HOSTS: Mapping[str, Sequence[str]] = {
    "openai": ("api.openai.com",),
    "anthropic": ("api.anthropic.com",),
    "google": ("generativelanguage.googleapis.com",),
    "xai": ("api.x.ai",),
    "deepseek": ("api.deepseek.com",),
    "alibaba": ("dashscope-intl.aliyuncs.com",),
    "mistral": ("api.mistral.ai",),
    "moonshotai": ("api.moonshot.ai",),
    "zai": ("api.z.ai",),
    "zhipuai": ("open.bigmodel.cn",),
    "minimax": ("api.minimax.io",),
    "groq": ("api.groq.com",),
    "cerebras": ("api.cerebras.ai",),
    "openrouter": ("openrouter.ai",),
}
"""The providers whose prices are taken, and their addresses."""
ONE_SELLER = ("openai/gpt", "openai/o", "openai/codex", "anthropic/", "google/gemini", "x-ai/")
"""Models on OpenRouter that all its providers sell at one price; of open weights each has its."""
_SPEAK_NO_TEXT = (
    "embed", "image", "audio", "tts", "whisper", "transcribe", "realtime", "live", "asr", "-mt-",
    "ocr", "guard", "omni",
)  # fmt: skip
_TIMEOUT_S = 60.0


def read_table(source: str) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    """Yield the provider, the name and the `cost` of each model in a source.

    Raises:
        OSError, ValueError: it can't be read.
    """
    if Path(source).is_dir():
        yield from _of_checkout(Path(source))
        return
    if source.startswith("https://"):
        request = urllib.request.Request(source, headers={"User-Agent": "autorl-daemon"})  # noqa: S310
        with urllib.request.urlopen(request, timeout=_TIMEOUT_S) as answer:  # noqa: S310
            document = json.load(answer)
    else:
        document = json.loads(Path(source).read_bytes())
    for provider in HOSTS:
        for name, model in document.get(provider, {}).get("models", {}).items():
            yield provider, name, model.get("cost") or {}


def _of_checkout(root: Path) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    for provider in HOSTS:
        folder = root / "providers" / provider / "models"
        for path in sorted(folder.rglob("*.toml")):
            if path.exists():  # some are links
                model = tomllib.loads(path.read_text(encoding="utf-8"))
                yield (
                    provider,
                    str(path.relative_to(folder))[: -len(".toml")],
                    model.get("cost", {}),
                )


def priced(cost: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return what the snapshot says of a model's `cost`; None if its bill could not be told.

    That is so where it costs nothing (so are plans and what is not known), or where reasoning has a
    price of its own, which not every answer says how to count.
    """
    if not cost.get("input") or not cost.get("output"):
        return None
    if cost.get("reasoning", cost["output"]) != cost["output"]:
        return None
    facts: dict[str, Any] = {"rates": _rates(cost)}
    above = [[tier["tier"]["size"], *_rates(tier)] for tier in cost.get("tiers", ())]
    if not above and (over := cost.get("context_over_200k")):
        above = [[200_000, *_rates(over)]]
    if above:
        facts["above"] = sorted(above)
    return facts


def _rates(cost: Mapping[str, Any]) -> list[float]:
    return [cost["input"], cost.get("cache_read") or cost["input"], cost["output"]]


def is_wanted(provider: str, name: str) -> bool:
    """Is this a model that writes text, at a price that is the same for everybody?"""
    if any(word in name for word in _SPEAK_NO_TEXT):
        return False
    is_open = provider == "openrouter" and ("oss" in name or not name.startswith(ONE_SELLER))
    return not is_open


def make_snapshot(source: str, taken: str, revision: str) -> str:
    """Return the text of the snapshot, a model a line."""
    models: dict[str, dict[str, Any]] = {provider: {} for provider in HOSTS}
    for provider, name, cost in read_table(source):
        if is_wanted(provider, name.lower()) and (facts := priced(cost)):
            models[provider][name.lower()] = facts
    head = {
        "taken": taken,
        "source": f"models.dev (https://github.com/anomalyco/models.dev{revision}), MIT licence, "
        "Copyright (c) 2025 models.dev",
        "unit": "US dollars per million tokens: [input, cached input, output]; `above` has other "
        "rates of calls with more tokens of input: [tokens, input, cached input, output]",
    }
    lines = [json.dumps(head, indent=1)[:-2] + ',\n "providers": {']
    for provider, hosts in HOSTS.items():
        rows = [
            f"   {json.dumps(name)}: {json.dumps(facts)}"
            for name, facts in sorted(models[provider].items())
        ]
        lines.append(f'  "{provider}": {{"hosts": {json.dumps(list(hosts))}, "models": {{')
        lines.append(",\n".join(rows))
        lines.append("  }}" if provider == list(HOSTS)[-1] else "  }},")
    return "\n".join([*lines, " }", "}"]) + "\n"


def main() -> None:
    """Write the snapshot."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n", 1)[0])
    parser.add_argument("source", nargs="?", default=TABLE)
    parser.add_argument("--taken", default=dt.datetime.now(dt.UTC).date().isoformat())
    parser.add_argument("--revision", default="", help="of a checkout, as in ' at 1a2b3c'")
    parser.add_argument("--output", type=Path, default=SNAPSHOT)
    arguments = parser.parse_args()
    try:
        text = make_snapshot(arguments.source, arguments.taken, arguments.revision)
    except (OSError, ValueError, KeyError) as error:
        sys.exit(f"{arguments.source} can't be read as the table of models.dev: {error}")
    arguments.output.write_text(text, encoding="utf-8")
    count = sum(len(one["models"]) for one in json.loads(text)["providers"].values())
    print(f"{count} models, {arguments.output}")


if __name__ == "__main__":
    main()
