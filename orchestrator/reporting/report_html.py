"""The report as one HTML file that needs nothing else: no script, no address of another."""

import base64
import html

from orchestrator.core.text import one_line
from orchestrator.reporting.report import Report, Section, Table

_STYLE = """
:root { color-scheme: light dark; --ink: #1c2430; --dim: #5b6675; --line: #d8dee6; --page: #fff;
  --code: #f2f4f7; }
@media (prefers-color-scheme: dark) { :root { --ink: #e4e9f0; --dim: #9aa7b8; --line: #333d4a;
  --page: #12161c; --code: #1e252f; } figure { background: #fff; } }
body { font: 16px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--page);
  max-width: 56rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.4rem; margin: 0 0 .5rem; } h2 { font-size: 1.05rem; margin: 1.6rem 0 .4rem; }
.headline { font-size: 1.1rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: .3rem .9rem .3rem 0; border-bottom: 1px solid var(--line);
  vertical-align: top; }
th { color: var(--dim); font-weight: 600; }
ul { margin: .3rem 0; padding-left: 1.2rem; } li { overflow-wrap: anywhere; }
code { background: var(--code); padding: .05rem .3rem; border-radius: .25rem; }
figure { margin: 1.2rem 0; border-radius: .4rem; } img { width: 100%; height: auto; }
"""
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


def html_page(report: Report, chart_png: bytes) -> str:
    """Return the whole page; `chart_png` is the run's chart."""
    address = f"data:image/png;base64,{base64.b64encode(chart_png).decode('ascii')}"
    picture = f'<img alt="Score of each experiment, and what was published" src="{address}">'
    sections = "\n".join(map(_section, report.sections))
    title = _escaped(report.title)
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{_POLICY}">
<title>{title}</title>
<style>{_STYLE}</style>
</head>
<body>
<h1>{title}</h1>
<p class="headline">{_with_code(report.headline)}</p>
<figure>{picture}</figure>
{sections}
</body>
</html>
"""


def _section(section: Section) -> str:
    parts = [f"<h2>{_escaped(section.title)}</h2>"]
    if section.table is not None:
        parts.append(_table(section.table))
    if section.lines:
        items = "".join(f"<li>{_with_code(line)}</li>" for line in section.lines)
        parts.append(f"<ul>{items}</ul>")
    return "\n".join(parts)


def _table(table: Table) -> str:
    head = "".join(f"<th>{_escaped(name)}</th>" for name in table.header)
    rows = "".join(
        f"<tr>{''.join(f'<td>{_with_code(cell)}</td>' for cell in row)}</tr>" for row in table.rows
    )
    return f'<div class="wide"><table><tr>{head}</tr>{rows}</table></div>'


def _escaped(text: str) -> str:
    return html.escape(one_line(text, 2000))


def _with_code(text: str) -> str:
    """Return text with what stands between backticks as code."""
    parts = _escaped(text).split("`")
    return "".join(
        f"<code>{part}</code>" if number % 2 and number < len(parts) - 1 else part
        for number, part in enumerate(parts)
    )
