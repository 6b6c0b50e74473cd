"""Which columns of a sample look like personal data, by their names and by their values.

A guess for a draft, which a person reads: it would rather name a column too many.
"""

import re

from ops_platform.ingest.sample import SampleColumn

_PERSONS = "customer|client|contact|person|user|buyer|recipient|holder|billing|shipping|employee"
_NAMES = re.compile(
    r"(^|_)(e_?mail|mail|phone|mobile|tel|telephone|fax|(first|last|full|given|family|middle)_?name"
    rf"|sur_?name|fore_?name|user_?name|({_PERSONS})_name|street|address|ssn"
    r"|passport|iban|ip|card_(no|number)|tax_id|licen[cs]e(_no|_number)?)(_|$)"
)
_TABLES = re.compile(rf"(^|_)({_PERSONS}|people|member|subscriber)s?(_|$)")
_BIRTHS = re.compile(r"(^|_)(birth(day|date|_date)?|dob|date_of_birth)(_|$)")
_SHAPES = ("e-mail", "phone", "ip", "iban")
_SHARE = 0.5


def is_likely_personal(name: str, column: SampleColumn, source: str) -> bool:
    """Whether the column `name` of the source, both in snake case, looks like personal data."""
    if column.is_time or column.all_are("boolean"):
        # `email_sent_at` and `has_phone` name nobody; some dates are written like phone numbers.
        return bool(_BIRTHS.search(name))
    if any(column.shapes[shape] > _SHARE * column.filled for shape in _SHAPES):
        return True
    return bool(_NAMES.search(name)) or (name == "name" and bool(_TABLES.search(source)))
