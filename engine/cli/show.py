"""How totals look in a terminal."""

from dataclasses import asdict
from typing import TextIO

from rich.console import Console
from rich.table import Table

from engine.runtime.totals import Totals


def totals_table(totals: Totals, *, out: TextIO) -> None:
    """Print totals, a line each."""
    table = Table(show_header=False, box=None, pad_edge=False)
    for name, value in asdict(totals).items():
        if isinstance(value, dict):
            shown = ", ".join(f"{k} {v}" for k, v in value.items()) or "-"
        else:
            shown = f"{value:,}"
        table.add_row(name.replace("_", " "), shown)
    Console(file=out).print(table)
