"""The table of what was measured, in docs/performance.md and, short, in the README.

The benchmarks record their numbers in docs/performance.json; `python -m benchmarks.publish` makes
the pages from that. A test compares them.
"""

from __future__ import annotations

import datetime
import json
import os
import platform
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parent.parent
MEASURED = ROOT / "docs" / "performance.json"
PAGE = ROOT / "docs" / "performance.md"
README = ROOT / "README.md"
BEGIN = "<!-- performance: made by `make bench` -->"
END = "<!-- end of performance -->"
ENGINE = ("short answers", "long answers", "log and views")
PACKAGES = ("torch", "transformers", "lm_eval")


class Row(NamedTuple):
    """A line of the README's table: what, the measured number's name, its bar, its form."""

    words: str
    name: str
    bar: str
    form: str


README_ROWS = (
    Row("scores alone, answers of 1 to 5 tokens", "short: scores, ratio", "2.5 ×", "{:.1f} ×"),
    Row("scores alone, answers of 50 to 300 tokens", "long: scores, ratio", "2.5 ×", "{:.1f} ×"),
    Row("scores and texts, short answers", "short: with text, ratio", "3 ×", "{:.1f} ×"),
    Row("scores and texts, long answers", "long: with text, ratio", "2 ×", "{:.1f} ×"),
    Row("a later checkpoint, short answers", "short: later, ratio", "3 ×", "{:.1f} ×"),
    Row("a later checkpoint, long answers", "long: later, ratio", "3 ×", "{:.1f} ×"),
    Row("peak memory, short answers", "short: with text, peak, share", "half", "{:.0%} of it"),
    Row("peak memory, long answers", "long: with text, peak, share", "half", "{:.0%} of it"),
)


def record(part: str, numbers: Mapping[str, Any]) -> None:
    """Keeps what a benchmark measured, with when and on what. Other parts stay as they are."""
    measured = read() if MEASURED.is_file() else {}
    measured[part] = {"measured": machine(), "numbers": dict(numbers)}
    MEASURED.write_text(json.dumps(measured, indent=1) + "\n", encoding="utf-8")


def read() -> dict[str, Any]:
    """What was recorded, by part."""
    found = json.loads(MEASURED.read_text(encoding="utf-8"))
    assert isinstance(found, dict)
    return found


def machine() -> dict[str, str]:
    """The date, the processor, its load over the last minute, and the versions measured."""
    names = [
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        if line.startswith("model name")
    ]
    return {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "processor": f"{names[0] if names else platform.processor()}, {os.cpu_count()} cores",
        "load": f"{os.getloadavg()[0]:.1f}",
        "python": platform.python_version(),
        **{name: version(name) for name in PACKAGES},
    }


def section(measured: Mapping[str, Any]) -> str:
    """The README's table, between its markers."""
    parts = [measured[part] for part in ENGINE if part in measured]
    numbers = {name: one for part in parts for name, one in part["numbers"].items()}
    lines = [
        BEGIN,
        "",
        "| against lm-evaluation-harness | measured | bar |",
        "|---|---|---|",
        *(
            f"| {row.words} | {row.form.format(numbers[row.name])} | {row.bar} |"
            for row in README_ROWS
            if row.name in numbers
        ),
        "",
        f"Gemma 3 270M in float32, {_words(parts[0]['measured'])}.",
        f"Rows: {_rows(numbers)}. Each side has its best batch size within 8 GB. All",
        "numbers, and how they were measured:",
        "[docs/performance.md](docs/performance.md).",
        "",
        END,
    ]
    return "\n".join(lines)


def page(measured: Mapping[str, Any]) -> str:
    """docs/performance.md."""
    return "\n".join(_page(measured)) + "\n"


def with_section(text: str, made: str) -> str:
    """A text with the section between the markers replaced. Raises ValueError without markers."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"the README must hold the lines {BEGIN} and {END}")
    return f"{before}{made}{after}"


def write() -> None:
    """Makes both pages from what was recorded."""
    measured = read()
    PAGE.write_text(page(measured), encoding="utf-8")
    text = README.read_text(encoding="utf-8")
    README.write_text(with_section(text, section(measured)), encoding="utf-8")


def _page(measured: Mapping[str, Any]) -> Iterator[str]:
    yield "# Performance"
    yield ""
    yield "Made by `make bench` from `docs/performance.json`; do not edit."
    yield ""
    yield METHOD
    for part in (one for one in (*ENGINE, "parity") if one in measured):
        yield f"## {part.capitalize()}"
        yield ""
        yield f"Measured {_words(measured[part]['measured'])}."
        yield ""
        yield from (_engine if part in ENGINE else _parity)(measured[part]["numbers"])
        yield ""


def _engine(numbers: Mapping[str, float]) -> Iterator[str]:
    yield "| measure | value |"
    yield "|---|---|"
    for name, value in numbers.items():
        yield f"| {name.strip()} | {_number(value)} |"


def _parity(numbers: Mapping[str, Mapping[str, float]]) -> Iterator[str]:
    names = list(next(iter(numbers.values())))
    yield f"| measure | {' | '.join(numbers)} |"
    yield f"|---|{'---|' * len(numbers)}"
    for name in names:
        values = " | ".join(_number(one[name]) for one in numbers.values())
        yield f"| {name.replace('_', ' ')} | {values} |"


def _rows(numbers: Mapping[str, float]) -> str:
    counts = {kind: numbers.get(f"{kind}: rows") for kind in ("short", "long")}
    return ", ".join(f"{int(count)} {kind}" for kind, count in counts.items() if count is not None)


def _words(on: Mapping[str, str]) -> str:
    versions = ", ".join(f"{name} {on[name]}" for name in PACKAGES)
    return (
        f"on {on['date']} on {on['processor']} (load {on['load']}: 2.0 is the benchmark alone), "
        f"with Python {on['python']}, {versions}"
    )


def _number(value: float) -> str:
    """Whole numbers as such, others with three digits."""
    if value == int(value):
        return f"{int(value):,}"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


METHOD = """\
Milepost runs beside lm-evaluation-harness (its Hugging Face backend): the same checkpoint, the
same rows, the same token ids, as many threads, each in a fresh process. lm-eval has the batch size
that is fastest here within 8 GB of memory, for scoring and for writing each its own, found on a
part of the rows; Milepost has its defaults. A ratio says how many times as long lm-eval took,
loading left out unless it says "with load" (imports never count). Memory is the process's peak
(VmHWM).

- **Rows.** Prompts of 50 to 600 tokens: docstrings of Python's standard library, and puzzles after
  solved ones. Short answers have 1 to 5 tokens and end with a line, or after 16 tokens; long ones
  have 50 to 300, and what is written ends after 128 tokens: Gemma as it was pretrained says no end.
- **Model.** Gemma 3 270M, pretrained, from 4-bit weights made float32 again. It has no chat
  template, so prompts are in the plain format. "Later" is the second checkpoint of a real series:
  Gemma after 8 and after 16 steps of fine-tuning (AdamW, learning rate 1e-5) on Python's
  documentation. Milepost finds the first one's model standing, and its texts as drafts.
- **Eight loads and passes** are eight times lm-eval's load and pass, measured once: what separate
  programs cost that each load the model for themselves.
- **Share of the limit.** Operations that scoring had to do (2 m k n for each product of matrices,
  each prompt token once, the head only where a target's token is predicted, no padding), divided by
  the rate of `torch.matmul` or oneDNN's product at the model's shapes in the same run, whichever is
  faster, divided by the pass's seconds.
- **Log and views.** The real worker on a real database: the seconds in appends and in deriving,
  as a share of its pass.
- **Parity.** Log-likelihoods in nats, a sum for each target. lm-eval takes its log-softmax in
  float64 for it, since in float32 it is off by more than the two differ.
"""


if __name__ == "__main__":
    write()
