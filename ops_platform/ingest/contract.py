"""What a source's contract says, made plain: columns, keys, references, quality and levels."""

import hashlib
import re
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import cached_property
from typing import Any

from open_data_contract_standard.model import OpenDataContractStandard
from pydantic import SecretStr

from ops_platform.ingest import personal
from ops_platform.ingest.contract_faults import DELIMITERS, JSON_LINES
from ops_platform.ingest.quality import Quality

# What the types of numbers differ in that may become wider: the whole ones, and those with a scale.
WIDTHS = re.compile(r"BIGINT|INTEGER|SMALLINT|(?<=DECIMAL)\(.*\)")
HALF = 32
Bound = float | str
# The source and the column of it that features, models and the service know a customer by.
ORDERS, CUSTOMER = "orders", "customer_id"


@dataclass(frozen=True)
class Column:
    """One column of a source: `name`, engine `type`, and what a value must be.

    `inputs` are the columns that the source delivers for it, `expression` the SQL that makes its
    text from them. Times are as the source writes them, in `timezone`. Bounds of dates and times
    are texts. A personal column is judged by its own `type` and kept as a keyed hash.
    """

    name: str
    type: str
    inputs: tuple[str, ...]
    expression: str
    description: str
    required: bool = False
    minimum: Bound | None = None
    maximum: Bound | None = None
    exclusive_minimum: Bound | None = None
    exclusive_maximum: Bound | None = None
    min_length: int | None = None
    max_length: int | None = None
    pattern: str | None = None
    values: tuple[Any, ...] = ()
    timezone: str = "UTC"
    classification: str | None = None
    tags: tuple[str, ...] = ()

    @property
    def is_personal(self) -> bool:
        """Whether its values are replaced by a keyed hash on entry."""
        return personal.is_personal(self.classification)

    @property
    def stored_type(self) -> str:
        """Its type in the lake: a hash is text."""
        return "VARCHAR" if self.is_personal else self.type


@dataclass(frozen=True)
class Reference:
    """Columns whose values another source should have: `columns` here, `to` in `source`."""

    columns: tuple[str, ...]
    source: str
    to: tuple[str, ...]


@dataclass(frozen=True)
class Contract:
    """A source as its contract states it; everything about the source is derived from here.

    `event_time` is the column that says when a row happened. Its newest value may be as old as
    `freshness`, and was no older than `latency` when its delivery arrived. The values of each of
    `keys` stand in one row only.

    `format` is what its deliveries are: csv (tab-separated too), json, parquet or sql. `delimiter`
    stands between the fields of a delivery; where that is JSON lines or the extract of a table,
    between those of the plain copy that is made of it. `names` are those of the columns of a file
    without a header, in their order; `table` is that of the database.

    `document` is all that the contract says, and `key` the secret by which the personal columns
    are hashed.
    """

    name: str
    version: str
    owner: str
    description: str
    location: str
    delimiter: str
    columns: tuple[Column, ...]
    event_time: str | None
    freshness: timedelta | None = None
    format: str = "csv"
    names: tuple[str, ...] = ()
    table: str = ""
    latency: timedelta | None = None
    keys: tuple[tuple[str, ...], ...] = ()
    references: tuple[Reference, ...] = ()
    quality: tuple[Quality, ...] = ()
    document: OpenDataContractStandard = field(
        default_factory=OpenDataContractStandard.model_construct, repr=False, compare=False
    )
    key: SecretStr | None = field(default=None, repr=False, compare=False)

    @property
    def is_json(self) -> bool:
        """Whether its deliveries are JSON lines."""
        return self.format == JSON_LINES

    @property
    def required_inputs(self) -> list[str]:
        """The columns of a delivery without which no row could satisfy the contract."""
        columns = (column for column in self.columns if column.required)
        return list(dict.fromkeys(name for column in columns for name in column.inputs))

    @property
    def inputs(self) -> list[str]:
        """The columns that a delivery must have, in the contract's order."""
        return list(dict.fromkeys(name for column in self.columns for name in column.inputs))

    @property
    def personal_columns(self) -> list[str]:
        """The columns that are hashed on entry."""
        return [column.name for column in self.columns if column.is_personal]

    @cached_property
    def digest(self) -> str:
        """A digest of all that decides what becomes of a record; words of description do not.

        Another key makes other hashes, so it decides too; where it is missing no delivery has been
        read under this digest. Its first half is of all but how wide the numbers are, its second
        half of that.
        """
        decides = [
            replace(
                column,
                description="",
                tags=(),
                type=column.type if column.is_personal else WIDTHS.sub("number", column.type),
            )
            for column in self.columns
        ]
        text = self.format in DELIMITERS
        shape = [self.delimiter, *self.names] if text else [self.format, self.table]
        if self.personal_columns:
            shape.append(personal.fingerprint(self.key) if self.key else "")
        halves = (
            (*shape, decides, self.event_time, self.keys),
            [column.type for column in self.columns],
        )
        return "".join(hashlib.sha256(repr(half).encode()).hexdigest()[:HALF] for half in halves)

    def require_key(self) -> SecretStr:
        """The key; raises HashKeyError where it is not set."""
        return personal.require(
            self.key, f"{self.name}: {self.told_personal} personal data, hashed on entry"
        )

    @property
    def told_personal(self) -> str:
        """The columns that are personal as the subject of a sentence, with its verb."""
        names = self.personal_columns
        return f"{', '.join(names)} {'is' if len(names) == 1 else 'are'}"


def same_but_for_widths(one: str, other: str) -> bool:
    """Whether the contracts with these digests differ at most in how wide their numbers are."""
    return one[:HALF] == other[:HALF]


def customer_key(contracts: list[Contract]) -> str | None:
    """The fingerprint of the key by which customers' ids are hashed, None where they are plain.

    The contract of the orders says whether they are: models learn from its customers alone. Raises
    HashKeyError where they are hashed and the key is not set.
    """
    for contract in contracts:
        if contract.name == ORDERS and CUSTOMER in contract.personal_columns:
            return personal.fingerprint(contract.require_key())
    return None
