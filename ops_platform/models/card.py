"""A model card: what a version is, how good, on what data, why it was made, and where it ends.

After Mitchell et al., "Model Cards for Model Reporting" (FAccT 2019).
"""

import base64
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import pandas as pd

from ops_platform.models import bootstrap
from ops_platform.models.task import CHALLENGER, Task

CARD = "card.md"


def quality(scores: pd.DataFrame, seed: int) -> dict[str, dict[str, float]]:
    """How good each contender is, and how much better the version is than it.

    Parameters
    ----------
    scores : a metric by customer (rows) of each contender (columns), "challenger" among them.
    seed : of the resampling.

    Returns
    -------
    By contender its `mean` with the 95 % interval `low` to `high`, and the mean paired
    `difference` of the version to it with `difference_low` to `difference_high`; by a bootstrap
    over customers, the same resamples for all.
    """
    means = scores.mean()
    resampled = pd.DataFrame(bootstrap.means(scores.to_numpy(dtype=float), seed), None, means.index)
    return {
        str(name): {
            "mean": float(means[name]),
            **_interval(resampled[name], ("low", "high")),
            "difference": float(means[CHALLENGER] - means[name]),
            **_interval(
                resampled[CHALLENGER] - resampled[name], ("difference_low", "difference_high")
            ),
        }
        for name in scores.columns
    }


def _interval(resampled: pd.Series, names: tuple[str, str]) -> dict[str, float]:
    ends = resampled.quantile(bootstrap.WITHIN)
    return dict(zip(names, map(float, ends), strict=True))


def card(record: Mapping[str, Any], task: Task, shown: Iterable[str] = ()) -> str:
    """The card of a version as Markdown, from its provenance record; `shown` pictures lie by it."""
    return "\n".join(
        [
            f"# {record['model']}, as of {record['data']['as_of']}",
            "",
            *_made(record),
            "## Verdict",
            "",
            *_verdict(record),
            "## Quality",
            "",
            *_quality(record, task),
            *_segments(record, task),
            *task.told(record["details"]),
            *_data(record["data"], task),
            *_recipe(record),
            *_limits(record, task),
            *(f"![{name.partition('.')[0].replace('_', ' ')}]({name})\n" for name in shown),
        ]
    )


def summary(record: Mapping[str, Any], task: Task) -> str:
    """Verdict and quality, of a length that MLflow takes as the description of a version."""
    return "\n".join(
        [
            *_verdict(record),
            *_quality(record, task),
            *_made(record),
            f"Segments, data, recipe and limits: {CARD} among the artifacts of its run.",
        ]
    )


def whole(told: str, shown: Mapping[str, bytes]) -> str:
    """The card with its pictures in it, for where no file lies beside it."""
    for name, png in shown.items():
        told = told.replace(
            f"]({name})", f"](data:image/png;base64,{base64.b64encode(png).decode()})"
        )
    return told


def _made(record: Mapping[str, Any]) -> Iterator[str]:
    yield f"Made at {record['made_at']} UTC. Cause: {record['cause']}."
    yield ""


def _verdict(record: Mapping[str, Any]) -> Iterator[str]:
    verdict, champion = record["verdict"], record["champion"]
    yield f"**{verdict['decision']}**: {verdict['reason']}"
    yield ""
    if champion:
        yield (
            f"Judged against version {champion['version']} "
            f"(state `{champion['state_digest'][:16]}`) "
            f"from {verdict['window_start']} to {verdict['window_end']}."
        )
        yield ""


def _quality(record: Mapping[str, Any], task: Task) -> Iterator[str]:
    verdict = record["verdict"]
    yield (
        f"{task.title} on {verdict['customers']:,} known customers from "
        f"{verdict['window_start']} to {verdict['window_end']}, which none had seen; "
        "95 % intervals by a bootstrap over customers."
    )
    yield ""
    yield from _table(
        ("", task.title, "interval", "this version's lead", "interval"),
        [
            (
                "this version" if name == CHALLENGER else name.replace("_", " "),
                f"{one['mean']:.4f}",
                f"{one['low']:.4f} to {one['high']:.4f}",
                *(
                    ("", "")
                    if name == CHALLENGER
                    else (
                        f"{one['difference']:+.4f}",
                        f"{one['difference_low']:+.4f} to {one['difference_high']:+.4f}",
                    )
                ),
            )
            for name, one in _contenders(record)
        ],
    )


def _segments(record: Mapping[str, Any], task: Task) -> Iterator[str]:
    if not record["segments"]:
        return
    others = [name for name, _ in _contenders(record) if name != CHALLENGER]
    yield "By segment, with this version's lead over the others:"
    yield ""
    yield from _table(
        ("", task.title, "interval", *(name.replace("_", " ") for name in others)),
        [
            (
                segment,
                f"{found[CHALLENGER]['mean']:.4f}",
                f"{found[CHALLENGER]['low']:.4f} to {found[CHALLENGER]['high']:.4f}",
                *(f"{found[name]['difference']:+.4f}" for name in others),
            )
            for segment, found in sorted(record["segments"].items())
        ],
    )


def _contenders(record: Mapping[str, Any]) -> list[tuple[str, dict[str, float]]]:
    return sorted(record["quality"].items(), key=lambda one: (one[0] != CHALLENGER, one[0]))


def _data(data: Mapping[str, Any], task: Task) -> Iterator[str]:
    yield "## Data"
    yield ""
    rows = [
        ("rows", f"{data['rows']:,} {task.row}"),
        ("days", f"{data['first_day']} to {data['as_of']}"),
        ("snapshot", f"{data['snapshot']} (marts {data['marts_snapshot']})"),
        ("training set", f"`{data['training_set']}`"),
    ]
    rows += [
        (f"deliveries of {source}", f"{held['deliveries']:,} with {held['rows']:,} rows")
        for source, held in sorted(data["deliveries"].items())
    ]
    rows += [
        (f"feature view {name}", f"`{one[:16]}`") for name, one in sorted(data["views"].items())
    ]
    yield from _table(("", ""), rows)


def _recipe(record: Mapping[str, Any]) -> Iterator[str]:
    code, environment = record["code"], record["environment"]
    yield "## Recipe"
    yield ""
    commit = f"commit `{code['commit']}`" if code["commit"] else "no commit"
    more = ", with changes that were not committed" if code["uncommitted"] else ""
    kernels = {f"{one['architecture']} {one['version']}" for one in environment["blas"]}
    rows = [(f"`{name}`", str(value)) for name, value in sorted(record["params"].items())]
    rows += [
        ("code", f"{commit}{more}; package `{code['digest'][:16]}`"),
        ("computed by", f"{environment['threads']} threads, BLAS {', '.join(sorted(kernels))}"),
        ("state", f"`{record['state_digest']}`"),
    ]
    yield from _table(("", ""), rows)


def _limits(record: Mapping[str, Any], task: Task) -> Iterator[str]:
    yield "## Limits"
    yield ""
    yield "- It was judged before it was fitted on all days; for its last state no day is new."
    yield from (f"- {limit}" for limit in task.limits)
    behind = [
        name.replace("_", " ")
        for name, one in _contenders(record)
        if name != CHALLENGER and one["difference_low"] <= 0
    ]
    if behind:
        yield f"- On these customers it is not surely better than {', '.join(behind)}."
    yield ""


def _table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield "|" + "---|" * len(head)
    for row in rows:
        yield f"| {' | '.join(cell.replace('|', '/') for cell in row)} |"
    yield ""
