"""How the shop changes by the day: its assortment always, and what drifts where that is asked."""

from dataclasses import dataclass, replace
from datetime import date

import numpy as np

from ops_platform.simulate.taste import (
    Customers,
    Stock,
    draw_liking,
    draw_products,
    draw_taste,
    pounds,
)

NOVELTIES = ("SCENTED CANDLE", "FELT CRAFT KIT", "GLASS BAUBLE")


@dataclass(frozen=True)
class World:
    """The shop on a day: what it sells, and who buys there."""

    stock: Stock
    customers: Customers


@dataclass(frozen=True)
class TasteShift:
    """From `day` on a share of the customers, `strength`, likes things drawn anew.

    The customers of a weaker shift are among those of a stronger one, and like the same new
    things. Raises ValueError for a strength that is no share.
    """

    day: date
    strength: float

    def __post_init__(self) -> None:
        """Refuse what is no share."""
        if not 0 <= self.strength <= 1:
            raise ValueError(f"strength must be from 0 to 1, not {self.strength}")

    def change(self, world: World, rng: np.random.Generator) -> World:
        """The world in which these customers have another taste."""
        stock, customers = world.stock, world.customers
        count = len(customers.pace)
        # All are drawn, and the first are taken, whatever the strength is.
        order = rng.permutation(count)
        taste = draw_taste(rng, count, len(stock.things))
        liking = draw_liking(rng, taste, stock.appeal, stock.group)
        shifts = np.isin(np.arange(count), order[: round(self.strength * count)])[:, None]
        return replace(
            world,
            customers=replace(
                customers,
                taste=np.where(shifts, taste, customers.taste),
                liking=np.where(shifts, liking, customers.liking),
            ),
        )


@dataclass(frozen=True)
class PriceShift:
    """From `day` on all prices are `factor` times what they were; raises ValueError below 0."""

    day: date
    factor: float

    def __post_init__(self) -> None:
        """Refuse what is no factor."""
        if not self.factor > 0:
            raise ValueError(f"factor must be above 0, not {self.factor}")

    def change(self, world: World, rng: np.random.Generator) -> World:
        """The world with these prices, also of products that arrive later."""
        stock = world.stock
        return replace(
            world,
            stock=replace(
                stock,
                prices=pounds(stock.prices * self.factor),
                price_factor=stock.price_factor * self.factor,
            ),
        )


@dataclass(frozen=True)
class NewCategory:
    """From `day` on there is one product group more, of `products`.

    `attraction` is its average share in what customers like, where an old group has a twentieth.
    Raises ValueError for no products, or no attraction.
    """

    day: date
    products: int = 20
    attraction: float = 0.2

    def __post_init__(self) -> None:
        """Refuse what is no category."""
        if self.products < 1 or not self.attraction > 0:
            raise ValueError("products must be at least 1, and attraction above 0")

    def change(self, world: World, rng: np.random.Generator) -> World:
        """The world with the group: its products come last in the stock."""
        stock, customers = world.stock, world.customers
        thing = NOVELTIES[len(stock.things) % len(NOVELTIES)]
        drawn = draw_products(rng, [thing] * self.products, stock.unused, stock.price_factor)
        group = np.full(self.products, len(stock.things))
        new = rng.exponential(self.attraction, (len(customers.pace), 1))
        taste = np.hstack([customers.taste, new])
        liking = draw_liking(rng, taste, drawn.appeal, group)
        return World(
            stock=replace(
                stock,
                codes=stock.codes + drawn.codes,
                descriptions=stock.descriptions + drawn.descriptions,
                prices=np.append(stock.prices, drawn.prices),
                appeal=np.append(stock.appeal, drawn.appeal),
                group=np.append(stock.group, group),
                peak=np.append(stock.peak, rng.uniform(1, 366)),
                swing=np.append(stock.swing, rng.uniform(0, 0.8)),
                things=(*stock.things, thing),
                unused=np.setdiff1d(stock.unused, drawn.numbers),
            ),
            customers=replace(customers, taste=taste, liking=np.hstack([customers.liking, liking])),
        )


@dataclass(frozen=True)
class NewAssortment:
    """On `day` about this `share` of the products leaves, and as many others come.

    Raises ValueError for what is no share.
    """

    day: date
    share: float = 0.2

    def __post_init__(self) -> None:
        """Refuse what is no share."""
        if not 0 <= self.share <= 1:
            raise ValueError(f"share must be from 0 to 1, not {self.share}")

    def change(self, world: World, rng: np.random.Generator) -> World:
        """The world with the others, of the same groups."""
        return renewed(world, rng, self.share)


Drift = TasteShift | PriceShift | NewCategory | NewAssortment


def renewed(world: World, rng: np.random.Generator, share: float) -> World:
    """The world in which about this share of the products has left, and others have come.

    Each place goes to a product of the same group, drawn like all: the assortment changes and its
    kind does not.
    """
    stock, customers = world.stock, world.customers
    places = np.flatnonzero(rng.random(len(stock.codes)) < share)
    things = [stock.things[of] for of in stock.group[places]]
    drawn = draw_products(rng, things, stock.unused, stock.price_factor)
    codes, descriptions = list(stock.codes), list(stock.descriptions)
    for place, code, description in zip(places, drawn.codes, drawn.descriptions, strict=True):
        codes[place], descriptions[place] = code, description
    prices, appeal, liking = stock.prices.copy(), stock.appeal.copy(), customers.liking.copy()
    prices[places], appeal[places] = drawn.prices, drawn.appeal
    liking[:, places] = draw_liking(rng, customers.taste, drawn.appeal, stock.group[places])
    return World(
        stock=replace(
            stock,
            codes=tuple(codes),
            descriptions=tuple(descriptions),
            prices=prices,
            appeal=appeal,
            unused=np.setdiff1d(stock.unused, drawn.numbers),
        ),
        customers=replace(customers, liking=liking),
    )
