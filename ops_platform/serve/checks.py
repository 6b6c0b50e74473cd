"""The door of serve to checks: whether what was served is what training would have made of it."""

import dagster as dg

from ops_platform.failures import told_plainly
from ops_platform.lake.location import Lake
from ops_platform.models.kinds import recommenders
from ops_platform.serve.assets import RELEASE
from ops_platform.serve.parity import Parity, replay
from ops_platform.serve.release import folder_of
from ops_platform.settings import Settings

PARITY = "parity"


def parity_check() -> dg.AssetChecksDefinition:
    """Whether features that were served are those of training; it fails and blocks nothing.

    An error, for a difference is a fault and no chance. What it is found by has been answered
    already, and nothing stands behind a release that could be held back.
    """

    @dg.asset_check(
        asset=RELEASE,
        # In a run that takes in what was served, after that.
        additional_deps=[dg.AssetKey(["raw", "served"])],
        name=PARITY,
        blocking=False,
        description="The features that customers were answered by are those that training makes as "
        "of the release, but for a share that late deliveries may change.",
    )
    @told_plainly()
    def features_are_the_same(settings: dg.ResourceParam[Settings]) -> dg.AssetCheckResult:
        lake = Lake.at(settings)
        found = {
            name: replay(lake, folder_of(settings.releases, name), settings.seed)
            for name in recommenders()
        }
        return _result(found, settings.parity_allowance)

    return features_are_the_same


def _result(found: dict[str, Parity], allowance: float) -> dg.AssetCheckResult:
    beyond = [one for parity in found.values() for one in parity.beyond(allowance)]
    lines = sum(parity.lines for parity in found.values())
    told = f"{lines} served lines were replayed: their features are those of training."
    if beyond:
        told = "; ".join(
            f"{one.view}.{one.feature} differs for {one.mismatches} of {one.entities}: "
            f"{one.example}"
            for one in beyond
        )
        told += ". Late deliveries explain no more than OPS_PARITY_ALLOWANCE, "
        told += f"{allowance:g}: find what changed since, then train and release again."
    elif not lines:
        told = "Nothing was served yet by a release that is kept, so there is nothing to compare."
    return dg.AssetCheckResult(
        passed=not beyond,
        severity=dg.AssetCheckSeverity.ERROR,
        description=told,
        metadata={
            "lines": lines,
            "failures": sum(one.mismatches for one in beyond),
            "features": dg.MetadataValue.md(_table(found)),
        },
    )


def _table(found: dict[str, Parity]) -> str:
    lines = ["| model | feature | compared | differ | example |", "|---|---|---|---|---|"]
    lines += [
        f"| {model} | {one.view}.{one.feature} | {one.entities} | {one.mismatches} "
        f"| {one.example} |"
        for model, parity in found.items()
        for one in parity.features
    ]
    return "\n".join(lines)
