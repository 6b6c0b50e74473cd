"""What is asked of the service and what it answers, as the OpenAPI document shows it."""

from typing import Annotated, Any, Literal

from fastapi import Path
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StrictBool

K_MAX = 100
BATCH_MAX = 100
SESSION_MAX = 100
FEEDBACK_MAX = 1000
# What is answered is logged, and the logs' contracts take no control characters.
PRINTABLE = r"^[^\x00-\x1f\x7f]+$"
Id = Annotated[str, Field(min_length=1, max_length=128, pattern=PRINTABLE)]
CustomerId = Annotated[str, Path(min_length=1, max_length=128, pattern=PRINTABLE)]


def _number(given: object) -> object:
    """JSON knows one kind of number, so 5.0 is 5; a text or a truth value is none."""
    if isinstance(given, str | bool):
        raise ValueError("must be a number")
    return given


Count = Annotated[int, Field(ge=1, le=K_MAX), BeforeValidator(_number)]


class Asked(BaseModel):
    """One list that is asked for."""

    model_config = ConfigDict(extra="forbid")

    customer_id: Id
    k: Count = 10
    exclude_bought: StrictBool = False
    category: Id | None = None
    session: list[Id] = Field(
        [], max_length=SESSION_MAX, description="Products that the customer looks at now."
    )


class Filters(BaseModel):
    """What the list of one customer may be asked to be."""

    model_config = ConfigDict(extra="forbid")

    k: int = Field(10, ge=1, le=K_MAX)
    exclude_bought: bool = False
    category: Id | None = None


class Batch(BaseModel):
    """Lists that are asked for at once; all are answered by the same release.

    But for the customers whom a challenger answers that is being tried.
    """

    model_config = ConfigDict(extra="forbid")

    requests: list[Asked] = Field(min_length=1, max_length=BATCH_MAX)


class RecommendedProduct(BaseModel):
    """A product of an answer, and why it is in it."""

    product_id: str
    description: str
    score: float
    reason: str


class Recommendations(BaseModel):
    """An answer: products, best first, all by the one release that it names."""

    request_id: str
    customer_id: str
    known: bool
    message: str | None
    model: str
    version: int
    release: str
    as_of: str
    recommendations: list[RecommendedProduct]


class Batched(BaseModel):
    """The answers, in the order of the requests."""

    answers: list[Recommendations]


class PurchaseProbability(BaseModel):
    """How likely a customer buys soon, by the version of the model purchase_probability."""

    request_id: str
    customer_id: str
    probability: float
    version: int
    release: str
    as_of: str


class Customers(BaseModel):
    """Some customers that the release knows."""

    customers: list[str]


class Product(BaseModel):
    """A product and what it is called; an empty description where that is not known."""

    product_id: str
    description: str


class History(BaseModel):
    """What a customer bought, as the release knows it."""

    customer_id: str
    release: str
    bought: list[Product]


class Seen(BaseModel):
    """What became of a product of an answer, whose request_id `answer_id` is."""

    model_config = ConfigDict(extra="forbid")

    answer_id: Annotated[str, Field(pattern="^[0-9a-f]{32}$")]
    product_id: Id
    kind: Literal["shown", "clicked", "bought"]


class FeedbackGiven(BaseModel):
    """What became of products that were recommended."""

    model_config = ConfigDict(extra="forbid")

    events: list[Seen] = Field(min_length=1, max_length=FEEDBACK_MAX)


class Accepted(BaseModel):
    """How many events were taken; they are written within a second."""

    accepted: int


class ReleaseTold(BaseModel):
    """A release that is kept, or has served; `served` has when it did, as start and end."""

    release: str
    version: int
    serves: bool
    kept: bool
    as_of: str | None
    created_at: str | None
    served: list[tuple[str, str | None]]


class Releases(BaseModel):
    """The releases of the model, the newest last."""

    model: str
    releases: list[ReleaseTold]


class Ready(BaseModel):
    """Whether a release answers, and which; to an admin also what was refused and lost."""

    ready: bool
    model: str
    version: int | None
    release: str | None
    as_of: str | None
    refused: dict[str, Any] | None = None
    logs: dict[str, dict[str, Any]] | None = None
