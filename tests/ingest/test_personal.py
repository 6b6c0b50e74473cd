"""Personal data: hashed on entry, and its plain value nowhere in what the platform keeps."""

import gzip
import hmac
import json
import shutil
import sqlite3
import zipfile
from contextlib import closing
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import dagster as dg
import duckdb
import numpy as np
import pytest
from pydantic import SecretStr
from typer.testing import CliRunner

from ops_platform.cli import app
from ops_platform.errors import ContractError, HashKeyError, OpsError
from ops_platform.failures import cause_of
from ops_platform.ingest import ledger
from ops_platform.ingest.assets import contract_checks, raw_asset
from ops_platform.ingest.contract import Contract, customer_key
from ops_platform.ingest.contract_file import read_contracts
from ops_platform.ingest.keyed_hash import hashed_sql, key_in_session
from ops_platform.ingest.personal import fingerprint, hashed
from ops_platform.ingest.pii import Found, read_sample, scan
from ops_platform.ingest.reclassified import has_plain
from ops_platform.ingest.rows import UnreadableError, _failing
from ops_platform.ingest.sensors import landing_sensor
from ops_platform.ingest.take_in import has_news, take_in
from ops_platform.lake.check import check
from ops_platform.lake.connect import connect
from ops_platform.lake.location import Lake
from ops_platform.lake.upkeep import upkeep
from ops_platform.lake.write import write
from ops_platform.settings import Settings

KEY = SecretStr("a secret of sixteen letters and more")
NOW = datetime(2024, 6, 3)
MEMBERS = """\
apiVersion: v3.1.0
kind: DataContract
id: urn:test:members
name: members
version: 1.0.0
status: active
servers: [{server: files, type: local, path: 'members/*.csv', format: csv}]
team: {name: club}
schema:
  - name: members
    quality: [{metric: rowCount, mustBeGreaterThan: 0}]
    properties:
      - name: email
        logicalType: string
        required: true
        unique: true
        classification: personal
        transformSourceObjects: [Mail]
        transformLogic: lower("Mail")
        logicalTypeOptions: {pattern: '^[^@]+@[^@]+$', maxLength: 40}
        quality: [{metric: duplicateValues, mustBe: 0}]
      - {name: born, logicalType: date, classification: PII, logicalTypeOptions: {minimum: '1900-01-01'}}
      - {name: at, logicalType: string, classification: internal, transformSourceObjects: [Mail],
         transformLogic: 'split_part("Mail", ''@'', 2)'}
      - {name: visits, logicalType: integer}
      - {name: city, logicalType: string, classification: public}
"""
HEADER = "Mail,born,visits,city,phone\n"
# Each of these stands in a delivery, none may stand anywhere else.
SECRETS = [
    "Ann.Secret@club.org", "ben.hidden@club.org", "cat.covert@club.org", "no-address-of-dan",
    "eve.unclosed@club.org", "fay.shifted@club.org", "gil.headless@club.org", "1971-02-03",
    "3 Feb 1972", "+49 30 5550123", "hal.toolong@club.org", "zoë.öffnung@club.org",
]  # fmt: skip
GOOD = """\
Ann.Secret@club.org,1971-02-03,3,Kiel,+49 30 5550123
"ben.hidden@club.org",,1,Bonn,
zoë.öffnung@club.org,,1,Bonn,
"""
BAD = """\
cat.covert@club.org,3 Feb 1972,1,Kiel,+49 30 5550123
no-address-of-dan,,1,Kiel,
fay.shifted@club.org,,fay.shifted@club.org,Kiel,
eve.unclosed@club.org,1971-02-03,4,Kiel,x,y,z
ANN.SECRET@club.org,,9,Kiel,
"""


class Club:
    """A home with the source `members` and its contract."""

    def __init__(self, folder: Path, text: str = MEMBERS, key: SecretStr | None = KEY) -> None:
        self.folder, self.source = folder, folder / "sources" / "members"
        self.source.mkdir(parents=True)
        (folder / "contracts").mkdir()
        (folder / "contracts" / "members.odcs.yaml").write_text(text, encoding="utf-8")
        (folder / "clock").write_text(NOW.isoformat(), encoding="utf-8")
        self.settings = Settings(
            home=folder / "home",
            contracts=folder / "contracts",
            sources=folder / "sources",
            clock=str(folder / "clock"),
            hash_key=key,
        )
        self.lake = Lake.at(self.settings)

    @property
    def contract(self) -> Contract:
        return read_contracts(self.settings.contracts, self.settings.hash_key)[0]

    def take_in(self, contract: Contract | None = None) -> None:
        take_in(self.lake, contract or self.contract, self.source, NOW)

    def query(self, sql: str) -> list[tuple]:
        with connect(self.lake) as connection:
            return connection.execute(sql).fetchall()


@pytest.fixture
def club(tmp_path: Path) -> Club:
    return Club(tmp_path)


def python_hash(value: str) -> str:
    return hmac.new(KEY.get_secret_value().encode(), value.encode(), "sha256").hexdigest()


@pytest.mark.parametrize("key", ["short", "x" * 64, "longer than a block of SHA-256 " * 5, "ключ"])
def test_the_engines_hash_is_pythons(key):
    values = ["", "a", "O'Brien", "zoë@x.org", "日本", "x" * 500]
    with duckdb.connect() as engine, key_in_session(engine, SecretStr(key)):
        made = engine.execute(
            f"SELECT {hashed_sql('value')} FROM (SELECT unnest(?) AS value)", [[*values, None]]
        ).fetchall()
        assert [one for (one,) in made] == [
            *(hmac.new(key.encode(), value.encode(), "sha256").hexdigest() for value in values),
            None,
        ]
    assert hashed(SecretStr(key), "a") == made[1][0]


def test_the_key_is_gone_from_the_session_afterwards():
    with duckdb.connect() as engine:
        with key_in_session(engine, KEY):
            pass
        assert engine.execute("SELECT count(*) FROM duckdb_variables()").fetchone() == (0,)


def test_the_plain_values_are_in_nothing_that_the_platform_keeps(club):
    (club.source / "a.csv").write_text(HEADER + GOOD + BAD, encoding="utf-8")
    (club.source / "b.csv").write_text(
        HEADER + f"hal.toolong@club.org{'x' * 30},,1,Kiel,\n", encoding="utf-8"
    )
    (club.source / "headless.csv").write_text("gil.headless@club.org,,1,Kiel\n", encoding="utf-8")
    (club.source / "one.csv").write_text("gil.headless@club.org\n", encoding="utf-8")
    (club.settings.home / "dagster").mkdir(parents=True)
    instance = dg.DagsterInstance.local_temp(str(club.settings.home / "dagster"))
    graph = dg.Definitions(
        assets=[raw_asset(club.contract)],
        asset_checks=[contract_checks(club.contract)],
        resources={"settings": club.settings},
        executor=dg.in_process_executor,
        jobs=[dg.define_asset_job("all_of_it")],
    )
    done = graph.resolve_job_def("all_of_it").execute_in_process(instance=instance)
    instance.dispose()

    assert {c.check_name for c in done.get_asset_check_evaluations() if not c.passed} == {
        "columns", "deliveries", "quarantine",
    }  # fmt: skip
    assert club.query("SELECT * EXCLUDE (_delivery) FROM raw.members ORDER BY visits, email") == [
        *sorted(
            (python_hash(mail), None, "club.org", 1, "Bonn")
            for mail in ("ben.hidden@club.org", "zoë.öffnung@club.org")
        ),
        (python_hash("ann.secret@club.org"), python_hash("1971-02-03"), "club.org", 3, "Kiel"),
    ]
    kept = club.query("SELECT line, reasons, record FROM quarantine.members ORDER BY line")
    assert [(line, reasons) for line, reasons, _ in kept] == [
        (2, ["email: longer than 40 characters"]),
        (5, ["born: not a DATE"]),
        (6, ["email: does not match ^[^@]+@[^@]+$"]),
        (7, ["visits: not a BIGINT"]),
        (8, ["can't be parsed: 7 fields, the header has 5"]),
        (9, ["duplicate key email: a row that comes before it has it"]),
    ]
    records = {line: record and json.loads(record) for line, _, record in kept}
    assert records[5] == {
        "Mail": python_hash("cat.covert@club.org"),
        "born": python_hash("3 Feb 1972"),
        "visits": "1",
        "city": "Kiel",
    }
    assert records[7]["visits"] == python_hash("fay.shifted@club.org")
    assert records[8] is None
    report = scan(club.settings, dict(enumerate(SECRETS)))
    assert report.found == []
    assert report.not_read == []
    places = {str(path.relative_to(club.settings.home)).split("/")[0]
              for path in club.settings.home.rglob("*")}  # fmt: skip
    assert {"lake", "dagster"} <= places
    assert KEY.get_secret_value().encode() not in b"".join(
        path.read_bytes() for path in club.settings.home.rglob("*") if path.is_file()
    )


def test_what_fails_in_the_engine_shows_no_value(club):
    def fail() -> None:
        with _failing(club.contract, {}):
            raise duckdb.ConversionException("can't convert 'Ann.Secret@club.org'")

    with pytest.raises(UnreadableError) as caught:
        fail()
    assert caught.value.why == "ConversionException"
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


def test_without_the_key_nothing_is_taken_in(tmp_path):
    club = Club(tmp_path, key=None)
    (club.source / "a.csv").write_text(HEADER + GOOD, encoding="utf-8")
    with pytest.raises(HashKeyError, match=r"members: email, born are personal data.*OPS_HASH_KEY"):
        club.take_in()
    assert not club.lake.exists


def test_a_source_without_its_key_fails_and_says_so_and_has_an_empty_table(tmp_path):
    club = Club(tmp_path, key=None)
    (club.source / "a.csv").write_text(HEADER + GOOD, encoding="utf-8")
    graph = dg.Definitions(
        assets=[raw_asset(club.contract)],
        resources={"settings": club.settings.model_copy(update={"settle_seconds": 0})},
        jobs=[dg.define_asset_job("all_of_it")],
        executor=dg.in_process_executor,
    )
    with dg.DagsterInstance.ephemeral() as instance:
        with dg.build_sensor_context(
            instance=instance, resources={"settings": graph.resources["settings"]}
        ) as context:
            (asked,) = landing_sensor([club.contract]).evaluate_tick(context).run_requests
        assert asked.asset_selection == [dg.AssetKey(["raw", "members"])]
        done = graph.resolve_job_def("all_of_it").execute_in_process(
            instance=instance, raise_on_error=False
        )
        made = instance.get_latest_materialization_event(dg.AssetKey(["raw", "members"]))
    (failure,) = done.get_step_failure_events()
    assert "OPS_HASH_KEY is not set" in cause_of(failure.step_failure_data)
    assert "OPS_HASH_KEY is not set" in made.asset_materialization.metadata["connected"].value
    assert club.query("FROM raw.members") == []
    assert club.query("FROM ledger.deliveries") == []


def test_a_key_that_is_lost_later_is_news_that_a_run_fails_by_and_no_error_of_the_look(tmp_path):
    club = Club(tmp_path)
    (club.source / "a.csv").write_text(HEADER + GOOD + BAD, encoding="utf-8")
    club.take_in()
    lost = replace(club.contract, key=None)
    assert has_news(club.lake, lost, club.source, NOW)
    assert not has_news(club.lake, lost, None, NOW)
    with pytest.raises(HashKeyError, match="OPS_HASH_KEY is not set"):
        club.take_in(lost)


def test_another_key_makes_every_delivery_new(tmp_path):
    club = Club(tmp_path)
    (club.source / "a.csv").write_text(HEADER + GOOD, encoding="utf-8")
    club.take_in()
    other = SecretStr("quite another secret of the club")
    club.take_in(read_contracts(club.settings.contracts, other)[0])
    assert (hashed(other, "ben.hidden@club.org"),) in club.query("SELECT email FROM raw.members")
    assert len(club.query("FROM raw.members")) == 3


def test_what_is_personal_only_now_is_hashed_in_what_can_not_be_read_again(tmp_path):
    plain = MEMBERS.replace("        classification: personal\n", "").replace(
        "classification: PII, ", ""
    )
    club = Club(tmp_path, plain)
    (club.source / "a.csv").write_text(HEADER + GOOD + BAD, encoding="utf-8")
    (club.source / "b.csv").write_text(HEADER + "ida@club.org,1999-01-01,5,Ulm,\n")
    club.take_in()
    assert ("ann.secret@club.org",) in club.query("SELECT email FROM raw.members")
    lines = club.query("SELECT line, reasons FROM quarantine.members ORDER BY line")
    (club.source / "a.csv").unlink()
    club.take_in()
    (club.folder / "contracts" / "members.odcs.yaml").write_text(MEMBERS, encoding="utf-8")
    said = list[str]()
    take_in(club.lake, club.contract, club.source, NOW, said.append)

    mails = ["ann.secret@club.org", "ben.hidden@club.org", "zoë.öffnung@club.org", "ida@club.org"]
    born = ["1971-02-03", None, None, "1999-01-01"]
    assert sorted(club.query("SELECT email, born FROM raw.members"), key=str) == sorted(
        (
            (python_hash(mail), day and python_hash(day))
            for mail, day in zip(mails, born, strict=True)
        ),
        key=str,
    )
    kept = club.query("SELECT line, reasons, record FROM quarantine.members ORDER BY line")
    assert [(line, reasons) for line, reasons, _ in kept] == lines
    assert json.loads(kept[0][2]) == {
        "Mail": python_hash("cat.covert@club.org"),
        "born": python_hash("3 Feb 1972"),
        "visits": "1",
        "city": "Kiel",
    }
    assert "snapshots of before hold them plain until `ops lake upkeep`" in " ".join(said)
    assert not has_news(club.lake, club.contract, club.source, NOW)
    assert check(club.lake) == []
    assert scan(club.settings, dict(enumerate(SECRETS))).found != []
    upkeep(club.lake, keep_days=0)
    found = {Path(one.place) for one in scan(club.settings, dict(enumerate(SECRETS))).found}
    # In the catalog's file only, and there in no row: SQLite leaves what was in freed space.
    assert found == {club.lake.catalog_file, club.lake.home / "catalog.before-upkeep.sqlite"}
    copy = Path(shutil.copy(club.lake.catalog_file, tmp_path))
    with closing(sqlite3.connect(copy)) as catalog:
        rows = "\n".join(catalog.iterdump()).casefold()
    assert [secret for secret in SECRETS if secret.casefold() in rows] == []


@pytest.mark.parametrize("gone", ["a delivery", "its source"])
def test_what_is_personal_only_now_is_news_though_nothing_is_delivered(tmp_path, gone):
    club = Club(tmp_path, MEMBERS.replace("        classification: personal\n", ""))
    (club.source / "a.csv").write_text(HEADER + GOOD, encoding="utf-8")
    club.take_in()
    (club.source / "a.csv").unlink()
    club.take_in()
    (club.folder / "contracts" / "members.odcs.yaml").write_text(MEMBERS, encoding="utf-8")
    location = club.source if gone == "a delivery" else None
    assert has_news(club.lake, club.contract, location, NOW)
    take_in(club.lake, club.contract, location, NOW)
    assert (python_hash("ann.secret@club.org"),) in club.query("SELECT email FROM raw.members")
    assert not has_news(club.lake, club.contract, location, NOW)


def test_rows_that_were_read_when_a_number_was_narrower_are_not_looked_through(club):
    wide = club.contract
    columns = [replace(one, type=one.type.replace("BIGINT", "INTEGER")) for one in wide.columns]
    (club.source / "a.csv").write_text(HEADER + GOOD, encoding="utf-8")
    club.take_in(replace(wide, columns=tuple(columns)))
    write(club.lake, lambda connection: connection.execute("DROP TABLE raw.members"))

    with connect(club.lake) as connection:
        (entry,) = ledger.read(connection, "members")
        assert entry.contract != wide.digest
        assert not has_plain(connection, wide)


def test_the_key_is_shown_by_nothing_and_handed_to_children(tmp_path, monkeypatch):
    monkeypatch.setenv("OPS_HASH_KEY", KEY.get_secret_value())
    settings = Settings(home=tmp_path)
    assert KEY.get_secret_value() not in repr(settings) + str(settings.model_dump())
    assert settings.as_environment()["OPS_HASH_KEY"] == KEY.get_secret_value()
    club = Club(tmp_path / "club")
    assert KEY.get_secret_value() not in repr(club.contract)
    monkeypatch.setenv("OPS_HASH_KEY", "too short")
    told = CliRunner().invoke(app, ["status"]).output
    assert "OPS_HASH_KEY" in told
    assert "too short" not in told


# Replaced in MEMBERS, by what, and the words that name the fault.
FAULTS = {
    "made from what is personal": ("classification: internal, ", "", "at is made from 'Mail', which email says"),
    "a metric of hashes": ("metric: duplicateValues", "metric: invalidValues, arguments: {pattern: '@'}",
                           "email is hashed on entry, and invalidValues would judge the hash"),
    "a word that may mean it": ("classification: public", "classification: secret", "'secret' is not known"),
}  # fmt: skip


@pytest.mark.parametrize("kind", FAULTS)
def test_what_would_let_personal_data_in_is_a_fault(tmp_path, kind):
    old, new, words = FAULTS[kind]
    assert old in MEMBERS
    with pytest.raises(ContractError) as caught:
        _ = Club(tmp_path, MEMBERS.replace(old, new)).contract
    (fault,) = str(caught.value).splitlines()
    assert words in fault


def test_customers_are_known_by_hashes_where_the_orders_have_them_so(tmp_path, orders_contract):
    members = Club(tmp_path, MEMBERS.replace("name: email", "name: customer_id")).contract
    assert "customer_id" in members.personal_columns
    assert customer_key([members, orders_contract]) is None
    columns = tuple(
        replace(column, classification="personal") if column.name == "customer_id" else column
        for column in orders_contract.columns
    )
    orders = replace(orders_contract, columns=columns, key=KEY)
    assert customer_key([members, orders]) == fingerprint(KEY)
    with pytest.raises(HashKeyError, match="orders: customer_id"):
        customer_key([replace(orders, key=None)])


PLACES = {
    "a log": lambda path, value: path.write_text(f"who: {value.upper()}!\n", encoding="utf-8"),
    "a database": lambda path, value: sqlite3.connect(path).executescript(
        f"CREATE TABLE t(x); INSERT INTO t VALUES ('{value}')"
    ),
    "an array": lambda path, value: np.savez_compressed(path.open("wb"), names=np.array([value])),
    "an archive": lambda path, value: zipfile.ZipFile(path, "w").writestr(value, "x"),
    "JSON": lambda path, value: path.write_text(json.dumps({"who": value}), encoding="utf-8"),
    "a packed log": lambda path, value: path.with_suffix(".gz").write_bytes(
        gzip.compress(value.encode())
    ),
    "Parquet": lambda path, value: duckdb.execute(
        # Neither the least nor the greatest, which stand in the file unpacked.
        f"COPY (SELECT if(i = 5000, 'a{value}', md5(i::VARCHAR)) AS x FROM range(9000) t(i)) "
        f"TO '{path}.parquet' (COMPRESSION zstd)"
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", PLACES)
def test_a_plain_value_is_found_wherever_it_stands(tmp_path, kind):
    home = tmp_path / "home"
    (home / "somewhere").mkdir(parents=True)
    (home / "simulated").mkdir()
    (home / "simulated" / "a.csv").write_text("zoë@club.org", encoding="utf-8")
    PLACES[kind](home / "somewhere" / "file", "zoë@club.org")
    report = scan(Settings(home=home), {7: "Zoë@club.org", 8: "ann@club.org"})
    (place,) = (home / "somewhere").iterdir()
    assert report.found == [Found(str(place), 7)]


def test_the_command_names_the_places_and_not_the_values(tmp_path, monkeypatch):
    monkeypatch.setenv("OPS_HOME", str(tmp_path / "home"))
    (tmp_path / "home" / "logs").mkdir(parents=True)
    sample = tmp_path / "sample"
    sample.write_text("\nann@club.org\n", encoding="utf-8")
    command = ["check", "pii", "--sample", str(sample)]
    assert CliRunner().invoke(app, command).exit_code == 0
    (tmp_path / "home" / "logs" / "run.log").write_text("to ann@club.org", encoding="utf-8")
    told = CliRunner().invoke(app, command)
    assert told.exit_code == 1
    assert "line 2 of the sample is in" in told.output
    assert "ann@" not in told.output


@pytest.mark.parametrize(
    ("text", "words"), [("\n", "has no values"), ("anna\nx1\n", ":2: a value")]
)
def test_a_sample_that_tells_nothing_is_refused(tmp_path, text, words):
    (tmp_path / "sample").write_text(text, encoding="utf-8")
    with pytest.raises(OpsError, match=words):
        read_sample(tmp_path / "sample")
