"""What the feature views must give, in plain Python, from the order lines before one moment."""

from collections import Counter, defaultdict
from datetime import date, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from math import sqrt

from tests.transform.test_cancellations import by_stack

DAY = timedelta(days=1)
Line = tuple[str | None, str, str, datetime, int, Decimal, str]


def net(lines: list[Line], at: datetime, ttl: timedelta):
    """(customer, product, day of purchase) -> pieces and money kept, of the days that ended."""
    ended = [line for line in lines if line[3].date() < at.date()]
    events = [
        (customer, product, order, time, time.date(), quantity, price, not order.startswith("C"))
        for customer, product, order, time, quantity, price, _ in ended
        if customer is not None
    ]
    rows = [(*e[:2], e[4], e[4], e[5], e[5] * e[6]) for e in events if e[7]]
    rows += [
        (customer, product, day, bought, -quantity, -amount)
        for (customer, product, day, bought), (quantity, amount) in by_stack(events).items()
    ]
    pieces, money = Counter(), Counter()
    for customer, product, day, bought, quantity, amount in rows:
        if datetime.combine(day, datetime.min.time()) >= at - ttl:
            pieces[customer, product, bought] += quantity
            money[customer, product, bought] += amount
    return {key: (pieces[key], money[key]) for key in pieces}


def days_to(at: datetime, day: date) -> int:
    return (at.date() - day).days - 1


def activity(lines, at, ttl):
    by_day = defaultdict(lambda: [0, Decimal(0)])
    for (customer, _, day), (quantity, amount) in net(lines, at, ttl).items():
        by_day[customer, day][0] += quantity
        by_day[customer, day][1] += amount
    kept = defaultdict(dict)
    for (customer, day), (quantity, amount) in by_day.items():
        if quantity > 0:
            kept[customer][day] = amount
    found = {}
    for customer, days in kept.items():
        gaps = [(after - before).days for before, after in pairwise(sorted(days))]
        n, total, squares = len(gaps), sum(gaps), sum(gap * gap for gap in gaps)
        found[(customer,)] = {
            "recency_days": days_to(at, max(days)),
            "tenure_days": days_to(at, min(days)),
            "frequency": len(days),
            "monetary": sum(days.values()),
            "interval_days": total / n if n else None,
            "interval_variation": sqrt(n * squares - total**2) / total if n >= 2 else None,
        }
    return found


def rhythm(lines, at, ttl):
    kept = defaultdict(Counter)
    for (customer, _, day), (quantity, _) in net(lines, at, ttl).items():
        if quantity > 0:
            kept[customer][day] += 1

    def faded(days, half_life):
        weights = (Decimal(0.5 ** (days_to(at, day) / half_life)) for day in days)
        return float(sum(round(weight, 9) for weight in weights))

    found = {}
    for customer, visits in kept.items():
        days = sorted(visits)
        found[(customer,)] = {
            **{f"visits_faded_{n}d": faded(days, n) for n in (30, 90, 180)},
            "last_interval_days": (days[-1] - days[-2]).days if days[1:] else None,
            "last_products": visits[days[-1]],
            "mean_products": sum(visits.values()) / len(days),
        }
    return found


def products(lines, at, ttl):
    return {
        key: {"quantity": quantity, "amount": amount, "recency_days": days_to(at, key[2])}
        for key, (quantity, amount) in net(lines, at, ttl).items()
        if quantity > 0
    }


def taste(lines, at, ttl, categories):
    kept = defaultdict(list)
    for (customer, product, _), (quantity, amount) in net(lines, at, ttl).items():
        if quantity > 0:
            kept[customer].append((product, quantity, amount))
    found = {}
    for customer, bought in kept.items():
        pieces = Counter()
        for product, quantity, _ in bought:
            if product in categories:
                pieces[categories[product]] += quantity
        top = min(pieces, key=lambda one: (-pieces[one], one), default=None)
        found[(customer,)] = {
            "products": len({product for product, *_ in bought}),
            "categories": len(pieces),
            "top_category": top,
            "top_share": pieces[top] / sum(pieces.values()) if top else None,
            "piece_price": float(sum(one[2] for one in bought)) / sum(one[1] for one in bought),
        }
    return found


def demand(lines, at, ttl, came):
    """`came` is by delivery the time from which its lines are known; none where by their event."""
    known = [
        line for line in lines if at - ttl <= line[3] < at and (came is None or came[line[6]] < at)
    ]
    found = {}
    for product in {line[1] for line in known}:
        own = [line for line in known if line[1] == product]
        sales = [(at - x[3], x[4]) for x in own if not x[2].startswith("C") and x[5] > 0]

        def sold(first, last, sales=sales):
            return sum(n for age, n in sales if last * DAY < age <= first * DAY)

        year, now, before = sold(364, 0), sold(28, 0), sold(56, 28)
        back = -sum(x[4] for x in own if x[2].startswith("C") and at - x[3] <= 364 * DAY)
        old = any(age > 364 * DAY for age, _ in sales)
        found[(product,)] = {
            "sold_28d": now,
            "sold_28d_before": before,
            "sold_year": year,
            "trend": (now - before) / (now + before) if now + before else None,
            "season": sold(364, 336) * 13 / year if old and year else None,
            "return_share": back / year if year else None,
        }
    return found
