"""What the data sets say, by a plain fold of the files: no code of the engine is used here."""

import csv
import gzip
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo


@dataclass
class Trade:
    """One customer's trade: amounts in minor units, instants in UTC ms, 0 = never."""

    orders: int = 0
    total_minor: int = 0
    returns: int = 0
    returned_minor: int = 0
    first_at: int = 0
    last_at: int = 0

    def buy(self, at: int, minor: int) -> None:
        self.orders += 1
        self.total_minor += minor
        self.first_at = min(self.first_at or at, at)
        self.last_at = max(self.last_at, at)


def cdnow(path: Path) -> dict[str, Trade]:
    """Return user id -> trade of the CDNOW master file."""
    zone = ZoneInfo("America/New_York")
    found: dict[str, Trade] = {}
    with gzip.open(path, "rt") as lines:
        next(lines)
        for line in lines:
            customer, day, _, dollars = line.split()
            moment = datetime(int(day[:4]), int(day[4:6]), int(day[6:]), tzinfo=zone)
            trade = found.setdefault(customer, Trade())
            trade.buy(int(moment.timestamp()) * 1000, round(float(dollars) * 100))
    return found


def online_retail(path: Path) -> dict[str, Trade]:
    """Return user id -> trade of the Online Retail invoices; those without customer left out."""
    zone = ZoneInfo("Europe/London")
    found: dict[str, Trade] = {}
    with gzip.open(path, "rt") as lines:
        for row in csv.DictReader(lines):
            if not row["customer"]:
                continue
            moment = datetime.strptime(row["ts"], "%Y-%m-%d %H:%M:%S").replace(tzinfo=zone)
            minor = round(float(row["amount"]) * 100)
            trade = found.setdefault(row["customer"], Trade())
            if row["cancel"] == "True":
                trade.returns += 1
                trade.returned_minor += abs(minor)
            else:
                trade.buy(int(moment.timestamp()) * 1000, minor)
    return found
