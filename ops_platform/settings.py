"""Every setting, read once from `OPS_*`, and the clock that all rooms are given `now` from."""

import os
from datetime import UTC, date, datetime
from functools import cached_property
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from ops_platform.errors import OpsError

PROJECT = Path(__file__).resolve().parent.parent
HOMES = {"dev": Path(".ops"), "prod": Path(".ops-prod")}

TELEMETRY_OFF = {
    "DO_NOT_TRACK": "1",
    "DAGSTER_DISABLE_TELEMETRY": "1",
    "DBT_SEND_ANONYMOUS_USAGE_STATS": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
}


class Settings(BaseSettings):
    """Where things are and what is decided by number; `OPS_HOME=/data` sets `home`, and so on."""

    model_config = SettingsConfigDict(
        env_prefix="OPS_",
        env_nested_delimiter="_",
        env_nested_max_split=1,
        env_ignore_empty=True,
        frozen=True,
        # A mistyped URL would be shown with the password in it.
        hide_input_in_errors=True,
    )

    env: Literal["dev", "prod"] = Field("dev", description="The environment: which home is used.")
    home: Path = Field(HOMES["dev"], description="All state; deleting it starts over.")
    contracts: Path = Field(PROJECT / "contracts", description="One ODCS YAML a source.")
    dbt_project: Path = Field(PROJECT / "dbt_project", description="The dbt project.")
    sources: Path | None = Field(None, description="A folder with one folder a source.")
    source: dict[str, str] = Field(
        {},
        repr=False,
        description="`OPS_SOURCE_<NAME>`: a source's own folder, glob, database or URL.",
    )
    catalog_url: str | None = Field(
        None,
        repr=False,
        description="postgresql://... of the lake's catalog; SQLite under `home` if unset.",
    )
    data_path: Path | None = Field(None, description="The lake's data files.")
    mlflow_uri: str | None = Field(
        None, repr=False, description="A tracking server; SQLite if unset."
    )
    production_home: Path = Field(
        HOMES["prod"], description="Production's home, which pull requests read."
    )
    production_catalog_url: str | None = Field(
        None, repr=False, description="postgresql://... where production's catalog is one."
    )
    production_data_path: Path | None = Field(
        None, description="Production's data files, where they lie outside its home."
    )
    clock: str = Field("system", description="`system`, or a file that holds an ISO time.")
    as_of: date | None = Field(None, description="Newest usable day; the newest order's if unset.")
    seed: int = Field(0, ge=0, description="Seed of every random choice.")
    threads: int = Field(2, ge=1, description="Of the linear algebra; decides the last digits.")
    lock_seconds: float = Field(600, ge=0, description="How long a writer waits for its turn.")
    snapshot_days: float = Field(7, ge=0, description="Upkeep keeps snapshots younger than this.")
    evaluation_days: int = Field(
        30, ge=1, description="How many days before as-of a window that judges may begin."
    )
    evaluation_days_min: int = Field(
        7, ge=1, description="A window of fewer days is too early to judge."
    )
    cooldown_days: int = Field(
        7, ge=0, description="A champion younger than this is not retrained."
    )
    retraining_policy: str = Field(
        "cusum", description="Of monitor/policies/, with parameters, say every:28."
    )
    retrainings_a_month: int = Field(
        8, ge=1, description="A model with a champion is not trained more often in a month."
    )
    retry_seconds: float = Field(
        60,
        ge=0,
        description="After a failed retraining or landing; twice as long after each further one.",
    )
    settle_seconds: float = Field(
        3, ge=0, description="A delivery that changed within this time may still be written to."
    )
    poll_seconds: float = Field(
        600, ge=0, description="How often a database or a web location is looked at."
    )
    copy_seconds: float = Field(
        600, gt=0, description="How long the copy of what a database or the web delivers may take."
    )
    webhook: str | None = Field(
        None, repr=False, description="Where alerts are posted, in Slack's format."
    )
    promotion_margin: float = Field(
        0.01, ge=0, le=1, description="Share of the champion's score that a fresher model may lose."
    )
    segment_margin: float = Field(
        0.05, ge=0, le=1, description="Share of it that may be lost in a guarded segment."
    )
    alarm_rule: str = Field("cusum", description="The file of monitor/alarm_rules/ that alarms.")
    alarm_bound: float = Field(4.0, gt=0, description="The rule's bound, beyond which it alarms.")
    false_alarm_days: float = Field(
        365, ge=1, description="Mean days to a false alarm of a model's inputs, at least."
    )
    label_days: int = Field(
        7, ge=1, description="Within so many days what was recommended is to be bought."
    )
    probation_days: int = Field(
        28, ge=1, description="So long a promoted version goes back if it does worse."
    )

    hash_key: SecretStr | None = Field(
        None,
        min_length=16,
        description="The secret by which personal data is hashed on entry; kept for good.",
    )
    served_seconds: float = Field(
        60, gt=0, description="The log of what was served is a delivery every so many seconds."
    )
    workers: int = Field(1, ge=1, le=64, description="Processes of the service.")
    key_rate: float = Field(
        1000, gt=0, description="Requests a second of one API key; what is beyond is answered 429."
    )
    releases_kept: int = Field(
        5, ge=1, description="Releases of a model that stay, with the one that serves."
    )
    parity_allowance: float = Field(
        0.01,
        ge=0,
        le=1,
        description="Share of entities for which a served feature may differ from training's.",
    )

    @model_validator(mode="before")
    @classmethod
    def _a_home_for_each_environment(cls, given: dict[str, Any]) -> dict[str, Any]:
        # What is no environment is told of by the field's own check.
        home = HOMES.get(given.get("env", "dev"), HOMES["dev"])
        return {"home": home, **given}

    @field_validator(
        "home",
        "contracts",
        "dbt_project",
        "sources",
        "data_path",
        "production_home",
        "production_data_path",
    )
    @classmethod
    def _absolute(cls, path: Path | None) -> Path | None:
        # DuckLake wants the same absolute data path in every process, wherever it was started.
        return path if path is None else path.expanduser().absolute()

    @field_validator("clock")
    @classmethod
    def _absolute_clock(cls, clock: str) -> str:
        return clock if clock == "system" else str(Path(clock).expanduser().absolute())

    @field_validator("catalog_url", "production_catalog_url")
    @classmethod
    def _postgres(cls, url: str | None) -> str | None:
        if url is not None and urlsplit(url).scheme not in ("postgresql", "postgres"):
            raise ValueError("must be a postgresql:// URL, or unset for SQLite")
        return url

    @model_validator(mode="after")
    def _windows_fit(self) -> "Settings":
        if self.evaluation_days_min > self.evaluation_days + 1:
            raise ValueError("OPS_EVALUATION_DAYS_MIN must not be above OPS_EVALUATION_DAYS + 1")
        return self

    @cached_property
    def mlflow_tracking_uri(self) -> str:
        """The tracking server's URI: a SQLite file under `home` by default."""
        return self.mlflow_uri or f"sqlite:///{self.home / 'mlflow' / 'mlflow.db'}"

    @cached_property
    def mlflow_artifact_root(self) -> Path | None:
        """Where the embedded tracking store keeps its artifacts; a server has its own place."""
        return None if self.mlflow_uri else self.home / "mlflow" / "artifacts"

    @cached_property
    def backed_up_folders(self) -> dict[str, Path]:
        """What a backup holds beside the lake: the embedded registry and the releases."""
        return {"mlflow": self.home / "mlflow", "releases": self.releases}

    @cached_property
    def releases(self) -> Path:
        """One folder a model: its releases, and the pointer to the one that serves."""
        return self.home / "releases"

    @cached_property
    def served(self) -> Path:
        """Where the service writes what it served, as deliveries of the source `served`."""
        return self.home / "served"

    @cached_property
    def feedback(self) -> Path:
        """Where the service writes what came of what it served, as deliveries of `feedback`."""
        return self.home / "feedback"

    @cached_property
    def keys(self) -> Path:
        """The API keys of the service: salted hashes, for this user's eyes."""
        return self.home / "keys.json"

    @cached_property
    def landed(self) -> Path:
        """Copies of what sources deliver from a database or the web, one folder a source."""
        return self.home / "landed"

    @cached_property
    def simulated_sources(self) -> Path:
        """Where the simulated shop writes, the source where none is configured."""
        return self.home / "simulated"

    def as_environment(self) -> dict[str, str]:
        """The variables that give another process what this one was given."""
        given = {
            f"OPS_{name.upper()}": _as_text(getattr(self, name))
            for name in self.model_fields_set - {"source"}
            if getattr(self, name) is not None
        }
        return given | {f"OPS_SOURCE_{name.upper()}": at for name, at in self.source.items()}

    def now(self) -> datetime:
        """The platform's present, naive UTC; raises OpsError when the clock file can't be read."""
        if self.clock == "system":
            return datetime.now(UTC).replace(tzinfo=None)
        try:
            read = datetime.fromisoformat(Path(self.clock).read_text(encoding="utf-8").strip())
        except (OSError, ValueError) as error:
            raise OpsError(
                f"OPS_CLOCK={self.clock} must be 'system' or a file with one ISO time: {error}"
            ) from error
        return read if read.tzinfo is None else read.astimezone(UTC).replace(tzinfo=None)


def _as_text(value: object) -> str:
    return value.get_secret_value() if isinstance(value, SecretStr) else str(value)


def telemetry_off() -> None:
    """Switch off what the libraries would send home, for this process and its children."""
    for name, value in TELEMETRY_OFF.items():
        os.environ[name] = value
