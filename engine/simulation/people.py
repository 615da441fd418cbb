"""A seeded population of Chinese and English customers, each with identifiers on many channels."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from random import Random
from zoneinfo import ZoneInfo

from engine.clock import DAY_MS

SURNAMES_ZH = "王李张刘陈杨黄赵周吴徐孙马朱胡林郭何高罗"
GIVEN_ZH = (
    "伟",
    "芳",
    "娜",
    "敏",
    "静",
    "丽",
    "强",
    "磊",
    "洋",
    "艳",
    "杰",
    "涛",
    "明",
    "雨桐",
    "子涵",
    "欣怡",
)
GIVEN_EN = ("Alice", "Ben", "Chloe", "Daniel", "Emma", "Freddie", "Grace", "Harry", "Isla", "Jack")
SURNAMES_EN = ("Smith", "Jones", "Taylor", "Brown", "Evans", "Walker", "Wright", "Green", "Hall")
CITIES_ZH = ("上海", "北京", "广州", "成都", "杭州", "武汉")
CITIES_EN = ("London", "Leeds", "Bristol", "Glasgow")
TIERS = ("bronze", "bronze", "bronze", "silver", "silver", "gold", "diamond")
CATEGORIES = ("beauty.skin", "beauty.makeup", "food", "toys")
ZH_SHARE = 0.7


@dataclass(frozen=True, slots=True)
class Person:
    """One customer; `buys_every_days` is the mean gap, `active_days` how long before they lapse."""

    number: int
    name: str
    locale: str
    zone: str
    city: str
    tier: str
    birthday: str  # YYYY-MM-DD
    gender: str
    currency: str
    buys_every_days: float
    active_days: float
    spends_minor: int
    category: str

    @property
    def user_id(self) -> str:
        """The id that the shop's own systems know."""
        return f"u{self.number}"

    @property
    def anonymous_id(self) -> str:
        """The browser's own id."""
        return f"anon-{self.number:05d}"

    @property
    def email(self) -> str:
        """An address under a domain that nobody can own."""
        return f"u{self.number}@customers.example"

    @property
    def phone(self) -> str:
        """A number in E.164; the English ones are of the range reserved for drama."""
        if self.locale == "zh-CN":
            return f"+86138{self.number:08d}"
        return f"+447700900{self.number % 1000:03d}"

    @property
    def openid(self) -> str:
        """WeChat's id of this person for our account."""
        return f"wx-{self.number:06d}"

    def traits(self) -> dict[str, object]:
        """What an `identify` says of this person."""
        return {
            "email": self.email,
            "phone": self.phone,
            "openid": self.openid,
            "name": self.name,
            "gender": self.gender,
            "tier": self.tier,
            "birthday": self.birthday,
            "city": self.city,
            "zone": self.zone,
            "locale": self.locale,
            "consent": dict.fromkeys(("email", "sms", "push", "wechat", "app", "call"), True),
        }


def population(random: Random, count: int, *, today_ms: int) -> list[Person]:
    """Return `count` people; every 20th has the birthday today."""
    today = datetime.fromtimestamp(today_ms / 1000, tz=UTC).astimezone(ZoneInfo("Asia/Shanghai"))
    return [_person(random, number, today.date()) for number in range(1, count + 1)]


def _person(random: Random, number: int, today: "datetime.date") -> Person:  # type: ignore[valid-type]
    chinese = random.random() < ZH_SHARE
    born = datetime(random.randint(1955, 2005), 1, 1, tzinfo=UTC) + timedelta(
        days=random.randrange(365)
    )
    birthday = born.strftime("%Y-%m-%d")
    if number % 20 == 0:
        birthday = f"{born.year}-{today:%m-%d}"
    if chinese:
        name = random.choice(SURNAMES_ZH) + random.choice(GIVEN_ZH)
    else:
        name = f"{random.choice(GIVEN_EN)} {random.choice(SURNAMES_EN)}"
    return Person(
        number=number,
        name=name,
        locale="zh-CN" if chinese else "en-GB",
        zone="Asia/Shanghai" if chinese else "Europe/London",
        city=random.choice(CITIES_ZH if chinese else CITIES_EN),
        tier=random.choice(TIERS),
        birthday=birthday,
        gender=random.choice(("f", "m")),
        currency="CNY" if chinese else "GBP",
        buys_every_days=random.lognormvariate(2.7, 0.6),
        active_days=random.expovariate(1 / 90),
        spends_minor=int(random.lognormvariate(9.6, 0.7)),
        category=random.choice(CATEGORIES),
    )


def purchase_days(random: Random, person: Person, days: int) -> list[float]:
    """Return when a person buys within `days` of history: a renewal process that ends one day."""
    at = random.uniform(0, min(days, 45.0))
    end = at + person.active_days
    found = []
    while at < min(days, end):
        found.append(at)
        at += random.expovariate(1 / person.buys_every_days)
    return found


def start_of_history(now_ms: int, days: int) -> int:
    """Return the instant `days` before now, UTC ms."""
    return now_ms - days * DAY_MS
