"""A page about all evaluations in a folder: one HTML file that needs no other file and no network."""

import base64
import html
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.figure import Figure

from score_sde.evaluation.metrics import Estimate
from score_sde.files import written_whole
from score_sde.plots import BLUE, GREY, STYLE

CSS = """
body { font: 16px/1.5 system-ui, sans-serif; color: #222; max-width: 60rem; margin: 2rem auto }
h1 { font-size: 1.5rem } h2 { font-size: 1.15rem; margin-top: 2rem }
table { border-collapse: collapse }
td, th { padding: .25rem .9rem .25rem 0; text-align: left; border-bottom: 1px solid #ddd }
td.n { text-align: right; font-variant-numeric: tabular-nums } th.n { text-align: right }
img, svg { max-width: 100%; height: auto } small, figcaption { color: #666 }
pre { background: #f6f6f6; padding: .7rem; overflow-x: auto; font-size: .8rem; white-space: pre-wrap }
"""
NO_INTERVAL = (
    "Values without an interval: fd is biased by more than its error; fd_jackknife and fd_infinity need more samples than "
    "dimensions; for the others no error is known that covers the samples."
)
CAPTIONS = {
    "samples": "The first samples.",
    "levels": "At each noise level.",
    "nearest": "Samples (above) and the nearest of the kept training images (below), by the same features.",
}


def write_report(folder: str | Path, title: str = "") -> Path:
    """Write ``report.html`` in a folder of results STEP.json: values, intervals, floors, images, and all steps as plots."""
    folder = Path(folder)
    steps = {int(file.stem): json.loads(file.read_text()) for file in folder.glob("*.json") if file.stem.isdigit()}
    if not steps:
        raise ValueError(f"{folder} has no results (STEP.json); evaluate first")
    newest = max(steps)
    parts = [
        f"<h1>{html.escape(title or folder.resolve().parent.name)}</h1>",
        f"<p>Step {newest}"
        + (f"; others: {', '.join(map(str, sorted(steps)[:-1]))}" if len(steps) > 1 else "")
        + "</p>",
    ]
    for name, result in steps[newest].items():
        parts.append(f"<h2>{html.escape(name.replace('_', ' '))}</h2>")
        parts.append(_table(rows_of(result)))
        if result.get("failures"):
            parts.append(f"<p>{result['failures']:,} of {result['examples']:,} failed.</p>")
        if any(entry["interval"] is None for entry in result.get("metrics", {}).values()):
            parts.append(f"<p><small>{NO_INTERVAL}</small></p>")
        parts += [_image(file, what) for what in CAPTIONS if (file := folder / f"{newest}_{name}_{what}.png").exists()]
    if len(steps) > 1:
        parts += ["<h2>Over training</h2>", _curves(steps)]
    for name, result in steps[newest].items():
        about = {key: value for key, value in result.items() if key in ("about", "settings")}
        parts.append(f"<h2>Settings of {html.escape(name)}</h2><pre>{html.escape(json.dumps(about, indent=1))}</pre>")
    return write_page(folder / "report.html", title or f"Evaluation of {folder.resolve().parent.name}", parts)


def write_page(file: Path, title: str, parts: Iterable[str]) -> Path:
    """Write one page from its parts, atomically."""
    body = "\n".join(parts)
    with written_whole(file) as part:
        part.write_text(
            f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{html.escape(title)}</title>'
            f"<style>{CSS}</style><body>{body}</body></html>\n"
        )
    return file


def rows_of(result: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """(what, value, 90 % interval, floor, n, n of the reference) of a result, as text."""
    if "metrics" in result:
        return [
            (
                name,
                number(entry["value"]),
                "" if entry["interval"] is None else " to ".join(map(number, entry["interval"])),
                "" if "floor" not in entry else f"{number(entry['floor'])} (N = {entry['n_floor']:,})",
                "not stated" if entry["n"] is None else f"{entry['n']:,}",
                "not stated" if entry["n_reference"] is None else f"{entry['n_reference']:,}",
            )
            for name, entry in result["metrics"].items()
        ]
    if result.get("mean") is None:
        return [("", "no single number; see the JSON", "", "", f"{result.get('examples', '')}", "")]
    interval = Estimate(result["mean"], result.get("standard_error")).interval()
    n = result.get("examples")
    return [
        (
            f"mean, {result['unit']}" if "unit" in result else "mean",
            number(result["mean"]),
            " to ".join(map(number, interval or ())),
            "",
            f"{n:,}" if isinstance(n, int) else "",
            "",
        )
    ]


def number(value: float) -> str:
    """Four significant digits."""
    return f"{value:,.0f}" if abs(value) >= 10_000 else f"{value:.4g}"


def used_columns(rows: Sequence[Sequence[str]]) -> list[int]:
    """The columns of such rows that are not empty, and the first two."""
    return [i for i in range(len(rows[0])) if i < 2 or any(row[i] for row in rows)]


def _table(rows: Sequence[Sequence[str]]) -> str:
    heads = ("", "value", "90 % interval", "floor: held-out data", "N", "N of the reference")
    used = used_columns(rows)
    kinds = ["" if i == 0 else ' class="n"' for i in used]
    head = "".join(f"<th{kind}>{heads[i]}</th>" for i, kind in zip(used, kinds, strict=True))
    body = "".join(
        "<tr>" + "".join(f"<td{kind}>{html.escape(row[i])}</td>" for i, kind in zip(used, kinds, strict=True)) + "</tr>"
        for row in rows
    )
    return f"<table><tr>{head}</tr>{body}</table>"


def _image(file: Path, what: str) -> str:
    data, caption = base64.b64encode(file.read_bytes()).decode(), CAPTIONS[what]
    return f'<figure><img alt="{what}" src="data:image/png;base64,{data}"><figcaption>{caption}</figcaption></figure>'


def _curves(steps: Mapping[int, Mapping[str, Any]]) -> str:
    """Every number over the steps, with its interval and its floor, as SVG."""
    curves: dict[str, list[tuple[int, float, Any, Any]]] = {}
    for step, results in sorted(steps.items()):
        for name, result in results.items():
            for metric, entry in result.get("metrics", {}).items():
                curves.setdefault(f"{name.replace('_', ' ')}: {metric}", []).append(
                    (step, entry["value"], entry["interval"], entry.get("floor"))
                )
            if result.get("mean") is not None:
                curves.setdefault(name.replace("_", " "), []).append((step, result["mean"], None, None))
    curves = {name: points for name, points in curves.items() if len(points) > 1}
    if not curves:
        return "<p>No measurement was made at several steps.</p>"
    columns = min(3, len(curves))
    rows = -(-len(curves) // columns)
    with matplotlib.rc_context({**STYLE, "svg.fonttype": "none"}):
        figure = Figure(figsize=(3.3 * columns, 2.5 * rows), layout="constrained")
        for i, (name, points) in enumerate(curves.items()):
            axes = figure.add_subplot(rows, columns, i + 1)
            at = [step for step, *_ in points]
            axes.plot(at, [value for _, value, *_ in points], color=BLUE, marker="o", markersize=3)
            known = [(step, interval) for step, _, interval, _ in points if interval is not None]
            if known:
                low, high = zip(*(interval for _, interval in known), strict=True)
                axes.fill_between([step for step, _ in known], low, high, color=BLUE, alpha=0.2)
            if points[-1][3] is not None:
                axes.axhline(points[-1][3], color=GREY, linestyle="--")
            axes.set_title(name)
        out = io.StringIO()
        figure.savefig(out, format="svg", metadata={"Date": None})
    return out.getvalue()[out.getvalue().index("<svg") :] + "<p><small>Dashed: the floor, held-out data.</small></p>"
