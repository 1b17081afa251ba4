"""The measurements of the source tree, on a small one."""

from pathlib import Path

from tests.house import cycles, levels, module_imports, modules, report, room_imports, upward


def house(root: Path, **sources: str) -> Path:
    """Write an `orchestrator` with these modules (`room__module="source"`) and a framework."""
    for name, source in sources.items():
        path = root / "orchestrator" / f"{name.replace('__', '/')}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source)
    (root / "orchestrator" / "__init__.py").write_text("")
    (root / "framework.py").write_text("def evaluate():\n    pass\n")
    return root


def test_imports_between_rooms_are_arrows(tmp_path: Path) -> None:
    """A room stands one level above the highest that it imports; its own modules don't count."""
    root = house(
        tmp_path,
        core__text="import re\n",
        config__schema="from orchestrator.core.text import clean\n",
        config__loading="def load():\n    from orchestrator.config import schema\n",
        cli__main="from orchestrator.config.schema import Config\nimport orchestrator.core.text\n",
    )
    found = modules(root, "orchestrator")
    edges = room_imports(found)
    assert edges == {("config", "core"), ("cli", "config"), ("cli", "core")}
    assert levels({"core", "config", "cli"}, edges) == 3
    assert upward(edges) == []
    assert ("orchestrator.config.loading", "orchestrator.config.schema") in module_imports(found)


def test_a_cycle_is_found_wherever_its_imports_hide(tmp_path: Path) -> None:
    """Behind `TYPE_CHECKING`, inside a function, over a third module."""
    root = house(
        tmp_path,
        judging__a="if TYPE_CHECKING:\n    from orchestrator.planning.b import B\n",
        planning__b="def f():\n    from orchestrator.store import c\n",
        store__c="import orchestrator.judging.a\n",
        engine__d="from orchestrator.judging.a import A\n",
    )
    edges = room_imports(modules(root, "orchestrator"))
    assert cycles(edges) == [["judging", "planning", "store"]]
    assert levels({"judging", "planning", "store", "engine"}, edges) == 2
    assert upward(edges) == [("judging", "planning"), ("planning", "store")]


def test_rooms_of_one_layer_do_not_import_each_other(tmp_path: Path) -> None:
    """Across is as wrong as up; a folder without a layer is no matter of this rule."""
    root = house(
        tmp_path,
        reporting__view="from orchestrator.engine.lane import Lane\n",
        engine__lane="from orchestrator.tools.clock import now\n",
        tools__clock="",
    )
    edges = room_imports(modules(root, "orchestrator"))
    assert upward(edges) == [("reporting", "engine")]


def test_the_report_names_what_is_long(tmp_path: Path) -> None:
    """From the first line over the limit on; an older tree without the folders says so."""
    lines = "".join(f"    x = {n}\n" for n in range(50))
    root = house(
        tmp_path,
        core__long=f"def just():\n{lines[:-11]}\n\ndef over():\n{lines}",
        core__big="\n" * 301,
    )
    text = "\n".join(report(root))
    assert "51 orchestrator.core.long.over" in text
    assert "long.just" not in text
    assert "301 orchestrator.core.big" in text
    assert "no layers" in text
