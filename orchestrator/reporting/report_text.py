"""The report for a terminal, and as Markdown."""

from typing import Any

from rich import box
from rich.table import Table as RichTable
from rich.text import Text

from orchestrator.core.text import one_line
from orchestrator.reporting.console import make_console
from orchestrator.reporting.report import Report, Table

_MOST_COLUMNS = 110


def terminal_text(report: Report) -> str:
    """Return the report as a terminal shows it; without any code where none is wanted."""
    console = make_console()
    console.width = min(console.width, _MOST_COLUMNS)
    with console.capture() as captured:
        console.print(Text(report.title, style="bold"))
        console.print(Text(report.headline))
        for section in report.sections:
            console.print()
            console.print(Text(section.title, style="bold"))
            if section.table is not None:
                _print_table(console, section.table)
            for line in section.lines:
                console.print(_hanging(line))
    return "\n".join(line.rstrip() for line in captured.get().splitlines())


def _hanging(line: str) -> RichTable:
    """Return a line whose further lines are indented."""
    grid = RichTable.grid(padding=(0, 1))
    grid.add_row("·", Text(line))
    return grid


def _print_table(console: Any, table: Table) -> None:
    shown = RichTable(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, header_style="dim")
    for name in table.header:
        shown.add_column(name, overflow="fold")
    for row in table.rows:
        shown.add_row(*(Text(cell) for cell in row))
    console.print(shown)


def markdown_text(report: Report, chart: str | None = None) -> str:
    """Return the report as Markdown; `chart` is the address of a picture to show."""
    lines = [f"# {_escaped(report.title)}", "", _escaped(report.headline)]
    if chart is not None:
        lines += ["", f"![The run: score of each experiment]({chart})"]
    for section in report.sections:
        lines += ["", f"## {_escaped(section.title)}", ""]
        if section.table is not None:
            lines += [*_markdown_table(section.table), ""]
        lines += [f"- {_escaped(line)}" for line in section.lines]
    return "\n".join(lines).rstrip() + "\n"


def _markdown_table(table: Table) -> list[str]:
    rows = [table.header, ("---",) * len(table.header), *table.rows]
    return [f"| {' | '.join(_escaped(cell) for cell in row)} |" for row in rows]


_SPECIAL = str.maketrans({character: f"\\{character}" for character in "\\*_[]<>|#"})


def _escaped(text: str) -> str:
    """Return text that Markdown shows as it is; code between backticks is kept."""
    parts = one_line(text, 2000).split("`")
    return "`".join(
        part if number % 2 else part.translate(_SPECIAL) for number, part in enumerate(parts)
    )
