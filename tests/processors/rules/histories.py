"""Random customers with true histories (folded from events), and random conditions over their traits."""

from __future__ import annotations

from hypothesis import strategies as st

from processors.calendar import DAY, HOUR, MINUTE, Calendar
from processors.event import Event, OrderDetail
from processors.fold import Outcome, Policy, fold
from processors.profile import Profile, Score
from processors.rules import RuleSet
from processors.traits import TRAITS

START = 19_700 * DAY + 5 * HOUR
VISITS = ("page_viewed", "product_viewed", "product_added", "checkout_started", "app_opened")
OTHERS = ("shared", "referral_converted", "support_contacted", "complaint_opened", "complaint_resolved")
CALENDAR = Calendar()
SHAPES = ("", *VISITS, *OTHERS, "order_completed", "order_refunded", "survey_answered")

gaps = st.one_of(
    st.integers(0, 40 * MINUTE),
    st.integers(0, 30 * HOUR),
    st.integers(0, 100 * DAY),
    st.sampled_from([30 * MINUTE, HOUR, DAY, 30 * DAY, 90 * DAY]),
)


def happening(name: str, time: int, number: int, amount: int) -> Event:
    detail: object = None
    if name in ("order_completed", "order_refunded"):
        detail = OrderDetail(number % 5, amount * 1_000, amount % 2 * 50, 1, amount * 900 if amount % 3 else -1, [])
    elif name == "survey_answered":
        detail = ("nps" if amount % 2 else "csat", amount)
    return Event(
        customer_id="c", time=time, at=time, name=name, channel="web", detail=detail, event_id=str(number),
        origin="t:0", offset=number, checksum=0, visit=name in VISITS,
    )  # fmt: skip


@st.composite
def profiles(draw: st.DrawFn, *, most: int = 12, calendar: Calendar = CALENDAR) -> Profile:
    """A profile at its last event, without labels."""
    p, policy, out = Profile("c"), Policy(RuleSet("", ()), calendar), Outcome()
    time = START
    steps = draw(st.lists(st.tuples(st.sampled_from(SHAPES[1:]), gaps, st.integers(0, 5)), min_size=1, max_size=most))
    for number, (name, gap, amount) in enumerate(steps):
        time += gap
        fold(p, happening(name, time, number, amount), policy, out)
    if draw(st.booleans()):
        p.score = Score(draw(st.floats(0, 1)), 1, [], time)
    return p


def someone(*visits: tuple[str, int]) -> Profile:
    """A customer with these events (name, ms after `START`), at the last of them."""
    p, policy = Profile("c"), Policy(RuleSet("", ()))
    for number, (name, after) in enumerate(visits):
        fold(p, happening(name, START + after, number, 1), policy, Outcome())
    return p


NUMBERS = (
    "sessions_30d", "sessions_closed_24h", "orders_90d", "orders_lifetime", "cart_adds_1h", "cart_adds_24h",
    "active_days_7d", "active_days_24h", "active_days_1h", "page_views_1h", "revenue_90d", "profit_30d", "bounces_7d",
    "session_ms_24h", "discounted_share_90d", "bounce_share_7d", "csat_mean_30d", "mean_session_ms_24h", "frequency",
    "gap_count", "days_since_last_order", "days_since_last_seen", "tenure_days", "recency_score", "complaints_open",
    "last_nps", "churn_probability",
)  # fmt: skip
TEXTS = {
    "rfm": ("champion", "new", "lost", "prospect"),
    "activity": ("active", "dormant", "lost"),
    "value": ("high", "mid", "low", "none"),
    "rfm_class": ("", "general_develop", "important_value"),
    "city": ("", "Oslo"),
}  # fmt: skip
assert {*NUMBERS, *TEXTS} <= TRAITS.keys()

literals = st.one_of(
    st.integers(-1, 6), st.sampled_from([30, 90, 1_000, 3_000, 60_000]), st.floats(-1, 5).map(lambda x: round(x, 2))
).map(str)
numbers = st.recursive(
    st.sampled_from(NUMBERS),
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from("+-"), st.one_of(inner, literals)).map(lambda t: f"({t[0]} {t[1]} {t[2]})"),
        st.tuples(inner, st.sampled_from(["* 2", "/ 4", "* -1"])).map(lambda t: f"({t[0]} {t[1]})"),
        inner.map(lambda n: f"-{n}"),
    ),
    max_leaves=2,
)
signs = st.sampled_from(["==", "!=", "<", "<=", ">", ">="])
plain = st.tuples(st.sampled_from(NUMBERS), signs, literals).map(" ".join)
comparisons = st.one_of(
    plain,
    plain,
    st.tuples(literals, signs, numbers).map(" ".join),
    st.tuples(numbers, signs, numbers).map(" ".join),
    st.tuples(literals, signs, numbers, signs, literals).map(" ".join),
    st.tuples(st.sampled_from(NUMBERS), st.sampled_from(["in", "not in"]), literals, literals).map(
        lambda t: f"{t[0]} {t[1]} ({t[2]}, {t[3]})"
    ),
    st.sampled_from([f'{name} {sign} "{v}"' for name, vs in TEXTS.items() for v in vs for sign in ("==", "!=")]),
)
conditions = st.recursive(
    comparisons,
    lambda inner: st.one_of(
        inner.map(lambda c: f"not ({c})"),
        st.tuples(inner, st.sampled_from(["and", "or"]), inner).map(lambda t: f"({t[0]}) {t[1]} ({t[2]})"),
    ),
    max_leaves=4,
)
"""Expression texts, valid, over traits of every kind."""


def yaml_of_group(
    conditions: list[str], exits: list[str | None] | None = None, dwells: list[str | None] | None = None
) -> str:
    """A segments file with one group `g` of segments `s0`, `s1` ... and what is left, `rest`."""
    lines = ["groups:", "  - id: g", "    name: {en: G, zh: 组}", "    segments:"]
    for n, condition in enumerate(conditions):
        lines += [f"      - id: s{n}", "        name: {en: S, zh: 段}", f"        when: {condition}"]
        if exits and exits[n]:
            lines.append(f"        exit_when: {exits[n]}")
        if dwells and dwells[n]:
            lines.append(f"        min_dwell: {dwells[n]}")
    return "\n".join([*lines, "      - id: rest", "        name: {en: Rest, zh: 其余}", ""])


def yaml_of_lone(condition: str, *more: str) -> str:
    """A segments file with one lone segment `x`; `more`: further lines of it."""
    lines = ["segments:", "  - id: x", "    name: {en: X, zh: 某}", f"    when: {condition}"]
    return "\n".join([*lines, *(f"    {line}" for line in more), ""])
