"""Monthly availability of a fleet of droplets: a year of their states, made up, is imported, and every figure that nines
tells of it (commands, HTTP, statements of the SLA with credits) is compared with what DuckDB reads in the Parquet
files by the SQL of README.md, and with what the year was made to be. See .ci/engines.

Usage: droplets.py PROGRAM [DROPLETS]     PROGRAM: a built nines; DROPLETS: how many, 40 unless told
"""

import json
import re
import struct
import subprocess
import sys
import tempfile
import time
import urllib.parse
import urllib.request
from pathlib import Path

import duckdb
from droplets_fleet import AWAY, BEGIN, DAY, END, LABELS, SLICE, STATE, Fleet, shown
from nines import Server

SLO = "droplet-availability"
SLA = "droplet-sla"
README_DATA = "data/tenants/anonymous/history"
POLICY = "history: {policies: [{match: ['libvirt_domain_info_vstate', 'droplet_info'], tables: [raw, rollup_5m]}]}\n"
# The announced maintenance stands in README.md, the other exclusion here.
EXCLUSION = """apiVersion: nines.dev/v1
kind: Exclusion
metadata: {{name: {name}}}
spec:
  class: {kind}
  from: {begin}
  to: {until}
  match: {{services: [droplets], labels: {{hypervisor: {host}}}}}
  mode: exclude
  note: How much can it bear?
  author: ada@example.com
"""
ALLOWED_OF = 10_000
SLICE_MINUTES = SLICE // 60


def readme():
    """The definitions and the SQL that README.md shows."""
    section = Path("README.md").read_text().split("### Droplets, from end to end")[1].split("\n### ")[0].split("\n## ")[0]
    definitions, sql = (re.search(rf"```{kind}\n(.*?)```", section, re.DOTALL)[1] for kind in ["yaml", "sql"])
    assert README_DATA in sql, "the SQL of README.md names no folder"
    return definitions, sql


def varint(number):
    out = bytearray()
    while number >= 0x80:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes(out + bytes([number]))


def part(tag, content):
    return bytes([tag << 3 | 2]) + varint(len(content)) + content


def request(series):
    """A remote-write request of stale markers, in a Snappy block of literals."""
    stale = bytes([1 << 3 | 1]) + struct.pack("<Q", 0x7FF0000000000002)
    body = b""
    for labels, seconds in series:
        pairs = b"".join(part(1, part(1, name.encode()) + part(2, value.encode())) for name, value in sorted(labels.items()))
        body += part(1, pairs + part(2, stale + bytes([2 << 3]) + varint(seconds * 1000)))
    block = varint(len(body))
    for begin in range(0, len(body), 1 << 16):
        chunk = body[begin : begin + (1 << 16)]
        block += bytes([61 << 2]) + struct.pack("<H", len(chunk) - 1) + chunk
    return block


class Check:
    def __init__(self, program, folder):
        self.program = program
        self.data = folder / "data"
        self.slo = folder / "slo"
        self.config = folder / "nines.yml"
        self.begun = time.monotonic()

    def told(self, what):
        print(f"{time.monotonic() - self.begun:6.1f} s  {what}", flush=True)

    def nines(self, *args, **how):
        return subprocess.run([self.program, *map(str, args)], check=True, stdout=subprocess.PIPE, **how).stdout

    def asked(self, *args):
        place = ["--data", self.data, "--slo.dir", self.slo, "--config", self.config, "--json"]
        return json.loads(self.nines(*args, *place))

    def bring(self, fleet):
        """Imports everything and rolls it up."""
        self.config.write_text(POLICY)
        command = [self.program, "import", "openmetrics", "--data", str(self.data), "-"]
        importing = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        written = fleet.write(importing.stdin)
        importing.stdin.close()
        assert importing.wait() == 0, "the import fails"
        ends = list(fleet.ends())
        stale = self.data.parent / "stale.snappy"
        stale.write_bytes(request(ends))
        self.nines("import", "remote-write", "--data", self.data, stale, stderr=subprocess.DEVNULL)
        self.told(f"{written} samples and {len(ends)} stale markers imported")
        now = shown(END + 2 * DAY)
        self.nines("history", "compact", "--data", self.data, "--config", self.config, "--now", now, stderr=subprocess.DEVNULL)
        bytes_of = lambda folder: sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
        tables = {table: bytes_of(self.history(table)) for table in ["raw", "rollup_5m", "rollup_1h", "rollup_1d"]}
        self.told(f"rolled up, bytes by table: {tables}; all of the data directory: {bytes_of(self.data)}")

    def history(self, table=""):
        return self.data / "tenants/anonymous/history" / table


def by_month(reports, wanted, name):
    """Compares reports of the SLO with what is wanted."""
    seen = {}
    for report in reports:
        assert report["exact"] and not report["anomalies"], f"{name}: {report}"
        if report["total"] == 0:
            continue
        key = (report["group"]["droplet"], report["window"]["label"])
        assert key not in seen, f"{name}: {key} is there twice"
        assert report["good"] == report["total"] - report["bad"], f"{name}: {report}"
        assert report["met"] == is_met(report["total"], report["bad"]), f"{name}: {report}"
        seen[key] = (report["total"], report["bad"], report["sli"])
    assert_equal(name, seen, {key: (total, bad, share(total, bad)) for key, (total, bad, _) in wanted.items()})


def share(total, bad):
    return (total - bad) / total


def is_met(total, bad):
    return bad * ALLOWED_OF <= total


def assert_equal(name, seen, wanted):
    for key in sorted(seen.keys() | wanted.keys()):
        assert seen.get(key) == wanted.get(key), f"{name}, {key}: {seen.get(key)}, and not {wanted.get(key)}"
    assert wanted, f"{name}: nothing was compared"


def fleet_of(wanted, label):
    own = [(total, bad) for (_, month), (total, bad, _) in wanted.items() if month == label]
    return sum(total for total, _ in own), sum(bad for _, bad in own)


def check_statement(statement, wanted, label, name):
    """Statement of a month: a line per droplet with its credit, and the fleet."""
    figures = statement["figures"]
    assert figures["exact"], f"{name}: {figures['notes']}"
    seen, expected = {}, {}
    for line in figures["groups"]:
        if line["counted"] == 0:
            continue
        down = [(span["from"], span["to"]) for span in line.get("downtime", [])]
        credit = line["credit"] and line["credit"]["minutes"]
        key = line["group"]["droplet"]
        seen[key] = (line["counted"], line["bad"], line["sli"], line["met"], line["breach"], credit or 0, down)
    for (droplet, month), (total, bad, down) in wanted.items():
        if month == label:
            met = is_met(total, bad)
            credit = 0 if met else bad * SLICE_MINUTES
            expected[droplet] = (total, bad, share(total, bad), met, not met, credit, [] if met else down)
    assert_equal(f"{name}, {label}", seen, expected)
    total, bad = fleet_of(wanted, label)
    pooled = figures["pooled"]
    fleet = (pooled["counted"], pooled["bad"], pooled["sli"])
    assert fleet == (total, bad, share(total, bad)), f"{name}, fleet, {label}: {fleet}"
    met = sum(line[3] for line in expected.values())
    summary = (figures["summary"]["met"], figures["summary"]["of"])
    assert summary == (met, len(expected)), f"{name}, {label}: {summary}"
    return len(expected) - met, sum(line[5] for line in expected.values())


def duck(history):
    base = duckdb.connect()
    base.sql("SET TimeZone = 'UTC'")
    # A year of a thousand droplets is a hundred million slices: what does not fit goes to a file.
    base.sql(f"SET memory_limit = '6GB'; SET temp_directory = '{history}-duckdb'")
    return base


def check_sql(sql, history, wanted, name):
    """The SQL of README.md: droplets, the fleet, credits."""
    rows = duck(history).sql(sql.replace(README_DATA, str(history))).fetchall()
    seen = {(row[1] or "fleet", f"{row[0]:%Y-%m}"): row[2:] for row in rows}
    assert len(seen) == len(rows), f"{name}: a row is there twice"
    expected, credits = {}, dict.fromkeys(LABELS, 0)
    for (droplet, label), (total, bad, _) in wanted.items():
        credit = 0 if is_met(total, bad) else bad * SLICE_MINUTES
        credits[label] += credit
        expected[droplet, label] = (total, bad, share(total, bad), credit)
    for label in {label for _, label in wanted}:
        total, bad = fleet_of(wanted, label)
        expected["fleet", label] = (total, bad, share(total, bad), credits[label])
    assert_equal(name, seen, expected)
    return len(seen)


# What a row of five minutes says of its samples: their states, if there are three at most or they are all one.
FROM_ROLLUP = f"""(SELECT * EXCLUDE (states), unnest(states) AS value, NULL AS stale FROM (
    SELECT metric, labels, ts,
           CASE WHEN metric <> '{STATE}' OR changes = 0 THEN [last]
                WHEN count = 2 THEN [first, last]
                WHEN count = 3 THEN [first, prev, last] END AS states
    FROM read_parquet('{{history}}/rollup_5m/*/*.parquet', hive_partitioning = true) WHERE count > 0))"""


def check_rollup(sql, history, wanted):
    """The same from `rollup_5m`, of the droplets whose rows tell it."""
    files = re.search(r"read_parquet\(.*?\)", sql, re.DOTALL)[0]
    untold = f"""SELECT DISTINCT labels['droplet'] FROM read_parquet('{history}/rollup_5m/*/*.parquet')
                 WHERE metric = '{STATE}' AND changes > 0 AND count > 3"""
    left_out = {row[0] for row in duck(history).sql(untold).fetchall()}
    told = {key: figures for key, figures in wanted.items() if key[0] not in left_out}
    rows = duck(history).sql(sql.replace(files, FROM_ROLLUP.format(history=history))).fetchall()
    seen = {(row[1], f"{row[0]:%Y-%m}"): row[2:4] for row in rows if row[1] and row[1] not in left_out}
    assert_equal("rollup_5m", seen, {key: (total, bad) for key, (total, bad, _) in told.items()})
    return len(told), len(left_out)


def main(program, n_droplets):
    definitions, sql = readme()
    with tempfile.TemporaryDirectory() as folder:
        check = Check(str(Path(program).resolve()), Path(folder))
        fleet = Fleet(n_droplets)
        of_slo = fleet.figures({away.kind for away in AWAY})
        of_sla = fleet.figures({"scheduled-maintenance"})
        assert of_slo != of_sla
        check.told(f"{n_droplets} droplets on {fleet.n_hypervisors} hypervisors, {len(of_slo)} droplet-months")
        check.bring(fleet)
        check.slo.mkdir()
        (check.slo / "droplets.yaml").write_text(definitions)
        other = AWAY[1]
        text = EXCLUSION.format(
            name=other.name, kind=other.kind, begin=shown(other.begin), until=shown(other.until), host=Fleet.host(other.hypervisor)
        )
        (check.slo / "load-test.yaml").write_text(text)
        check.nines("slo", "validate", check.slo)

        span = ["--from", shown(BEGIN - DAY), "--to", shown(END)]
        by_month(check.asked("slo", "history", SLO, "--unit", "month", *span), of_slo, "nines slo history")
        check.told("nines slo history: all droplet-months are those of the year that was made")
        breaches, credits = 0, 0
        for label in LABELS[1:]:
            statement = check.asked("sla", "statement", "show", SLA, label)
            some = check_statement(statement, of_sla, label, "nines sla statement")
            breaches, credits = breaches + some[0], credits + some[1]
        check.told(f"nines sla statement: likewise, {breaches} breaches, {credits} minutes of credit")

        with Server(check.program, check.data, "--slo.dir", check.slo, "--config", check.config) as server:
            query = urllib.parse.urlencode({"unit": "month", "from": shown(BEGIN - DAY), "to": shown(END)})
            by_month(server.json(f"/api/slo/v1/slos/{SLO}/periods?{query}"), of_slo, "HTTP, periods")
            for label in LABELS[1:]:
                statement = server.json(f"/api/slo/v1/slas/{SLA}/statements/{label}")
                check_statement(statement, of_sla, label, "HTTP, statement")
        check.told("HTTP: likewise")

        n = check_sql(sql, check.history(), of_sla, "the SQL of README.md")
        check.told(f"DuckDB, the SQL of README.md over raw: {n} rows as the statements")
        row = f"('{Fleet.host(other.hypervisor)}', TIMESTAMPTZ '{shown(other.begin)}', TIMESTAMPTZ '{shown(other.until)}'),"
        wider = sql.replace("(VALUES ", f"(VALUES {row} ", 1)
        n = check_sql(wider, check.history(), of_slo, "the SQL of README.md with the exclusions of the SLO")
        check.told(f"DuckDB, likewise with the exclusions of the SLO: {n} rows as nines slo history")
        n, left_out = check_rollup(sql, check.history(), of_sla)
        check.told(f"DuckDB, over rollup_5m: {n} droplet-months the same; its rows cannot tell {left_out} droplets")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 40)
