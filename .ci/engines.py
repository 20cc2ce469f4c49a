"""Outside engines over the history of nines, against the answers of nines: see .ci/engines."""

import json
import re
import subprocess
import sys
import tempfile
import urllib.parse
from datetime import UTC, datetime
from pathlib import Path

import nines

MINUTE_S = 60
DAY_S = 86_400
START = datetime(2023, 12, 31, tzinfo=UTC)
END = datetime(2024, 3, 2, tzinfo=UTC)
# An anchored increase looks back five minutes for the sample before its window.
INTERVAL_S = 4 * MINUTE_S
SERVICES = ["cart", "pay", "search"]
# Every nth sample comes late, once its day has been rolled up.
LATE = 97
README_DATA = "data/tenants/anonymous/history"
# All series have rows in all tables.
CONFIG = """history:
  policies:
    - match: '{__name__=~".+"}'
      tables: [raw, rollup_5m]
"""


def seconds(time):
    return int(time.timestamp())


def samples():
    """Name, labels, time and value; all values and their sums are exact as floats."""
    for n, at in enumerate(range(seconds(START) + 7, seconds(END), INTERVAL_S)):
        for s, service in enumerate(SERVICES):
            for c, code in enumerate(["200", "404", "503"]):
                labels = {"service": service, "code": code, "job": "web", "instance": f"{service}-{c}:80"}
                # Reset now and then, each at its own time.
                value = (n % (2000 + 701 * c + 97 * s)) * (s + 1) * [1000, 37, 3][c]
                yield "http_requests_total", labels, at, value
            level = (n * (7 + s)) % 801 / 8 - 50
            yield "queue_level", {"service": service, "job": "web", "instance": f"{service}-0:80"}, at, level


def write_texts(folder):
    """Two files of OpenMetrics: what is known in time and what comes late."""
    files = [folder / "known.om", folder / "late.om"]
    texts = [file.open("w") for file in files]
    for n, (name, labels, at, value) in enumerate(samples()):
        pairs = ",".join(f'{key}="{value}"' for key, value in labels.items())
        texts[n % LATE == 0].write(f"{name}{{{pairs}}} {value} {at}\n")
    for text in texts:
        text.write("# EOF\n")
        text.close()
    return files


class Server(nines.Server):
    def ask(self, query, at):
        """Values by the labels of the answer, sorted by name."""
        text = urllib.parse.urlencode({"query": query, "time": seconds(at)})
        answer = self.json(f"/api/v1/query?{text}")
        assert not answer.get("warnings"), answer["warnings"]
        result = answer["data"]["result"]
        assert result, f"no answer to {query}"
        return {tuple(s["metric"][name] for name in sorted(s["metric"])): float(s["value"][1]) for s in result}


def answers(server):
    """Count, sum and increase by metric and service over all of the time."""
    window = f"{(seconds(END) - seconds(START)) // DAY_S}d"
    wanted = {}
    for metric in ["http_requests_total", "queue_level"]:
        columns = [
            server.ask(f"sum by (service) ({function}({metric}[{window}]{modifier}))", END)
            for function, modifier in [("count_over_time", ""), ("sum_over_time", ""), ("increase", " anchored")]
        ]
        for (service,), count in columns[0].items():
            wanted[metric, service] = (count, columns[1][service,], columns[2][service,])
    return wanted


# What every engine is asked of a table. To be had of any table with these columns.
SQL = """SELECT metric, service, sum(count) AS n, sum(sum + sum_c) AS total, sum(inc) AS increase
FROM {source} GROUP BY metric, service"""
# The same of samples: a value below the one before is the increase since a reset.
RAW_SQL = """SELECT metric, service, count(*) AS n, sum(value) AS total, sum(step) AS increase
FROM (SELECT metric, service, value, CASE WHEN value < before THEN value ELSE value - before END AS step
      FROM (SELECT metric, service, value, lag(value) OVER (PARTITION BY series_id ORDER BY ts) AS before
            FROM {source} WHERE stale IS NULL) AS following) AS steps
GROUP BY metric, service"""


def sql_of(folder):
    return RAW_SQL if folder.name == "raw" else SQL


def with_duckdb(folder):
    import duckdb

    source = f"read_parquet('{folder}/*/*.parquet', hive_partitioning = true)"
    return duckdb.sql(sql_of(folder).format(source=source)).fetchall()


def with_polars(folder):
    import polars

    rows = polars.scan_parquet(f"{folder}/*/*.parquet", hive_partitioning=True)
    if folder.name == "raw":
        value = polars.col("value")
        before = value.shift().over("series_id", order_by="ts")
        step = polars.when(value < before).then(value).otherwise(value - before)
        rows = rows.filter(polars.col("stale").is_null()).with_columns(step.alias("step"))
        columns = [polars.len().alias("n"), value.sum().alias("total"), polars.col("step").sum().alias("increase")]
        return rows.group_by("metric", "service").agg(columns).collect().rows()
    total = (polars.col("sum") + polars.col("sum_c")).sum()
    columns = [polars.col("count").sum().alias("n"), total.alias("total"), polars.col("inc").sum().alias("increase")]
    return rows.group_by("metric", "service").agg(columns).collect().rows()


def with_pandas(folder):
    import pandas

    if folder.name == "raw":
        rows = pandas.read_parquet(folder, columns=["metric", "service", "series_id", "ts", "value", "stale"])
        rows = rows[rows["stale"].isna()].sort_values(["series_id", "ts"])
        before = rows.groupby("series_id")["value"].shift()
        rows["step"] = (rows["value"] - before).where(~(rows["value"] < before), rows["value"])
        groups = rows.groupby(["metric", "service"], as_index=False, observed=True)
        groups = groups.agg(n=("value", "size"), total=("value", "sum"), increase=("step", "sum"))
        return list(groups.itertuples(index=False, name=None))
    columns = ["metric", "service", "count", "sum", "sum_c", "inc"]
    rows = pandas.read_parquet(folder, columns=columns)
    rows["total"] = rows["sum"] + rows["sum_c"]
    groups = rows.groupby(["metric", "service"], as_index=False, observed=True)[["count", "total", "inc"]].sum()
    return list(groups.itertuples(index=False, name=None))


def with_pyarrow(folder):
    import pyarrow
    from pyarrow import compute, dataset

    table = dataset.dataset(folder, partitioning="hive", format="parquet").to_table()
    if folder.name == "raw":
        table = table.filter(compute.is_null(table["stale"])).sort_by([("series_id", "ascending"), ("ts", "ascending")])
        table = table.combine_chunks()
        value, series = table["value"].chunk(0), table["series_id"].chunk(0)
        # The sample before, or none.
        before = pyarrow.concat_arrays([pyarrow.nulls(1, value.type), value[:-1]])
        of = pyarrow.concat_arrays([pyarrow.nulls(1, series.type), series[:-1]])
        before = compute.if_else(compute.equal(series, of), before, None)
        step = compute.if_else(compute.fill_null(compute.less(value, before), False), value, compute.subtract(value, before))
        groups = table.append_column("step", step).group_by(["metric", "service"])
        groups = groups.aggregate([("value", "count"), ("value", "sum"), ("step", "sum")])
        names = ["metric", "service", "value_count", "value_sum", "step_sum"]
        return list(zip(*(groups[name].to_pylist() for name in names), strict=True))
    table = table.append_column("total", compute.add(table["sum"], table["sum_c"]))
    groups = table.group_by(["metric", "service"]).aggregate([("count", "sum"), ("total", "sum"), ("inc", "sum")])
    names = ["metric", "service", "count_sum", "total_sum", "inc_sum"]
    return list(zip(*(groups[name].to_pylist() for name in names), strict=True))


def with_chdb(folder):
    import chdb

    source = f"file('{folder}/*/*.parquet', Parquet)"
    if folder.name == "raw":
        # Without a sample before there is none, not 0.
        sql = RAW_SQL.format(source=source).replace("lag(value)", "lag(toNullable(value))")
        return [tuple(row) for row in json.loads(str(chdb.query(sql, "JSONCompact")))["data"]]
    # Its names of columns and of results are one space.
    sql = SQL.format(source=f"(SELECT metric, service, count, sum, sum_c, inc FROM {source})")
    return [tuple(row) for row in json.loads(str(chdb.query(sql, "JSONCompact")))["data"]]


def with_spark(folder):
    from pyspark.sql import SparkSession

    builder = SparkSession.builder.master("local[1]").config("spark.ui.enabled", "false")
    builder = builder.config("spark.ui.showConsoleProgress", "false")
    session = builder.config("spark.sql.shuffle.partitions", "1").getOrCreate()
    session.sparkContext.setLogLevel("ERROR")
    session.read.parquet(str(folder)).createOrReplaceTempView("rows")
    return [tuple(row) for row in session.sql(sql_of(folder).format(source="rows")).collect()]


ENGINES = [with_duckdb, with_polars, with_pandas, with_pyarrow, with_chdb, with_spark]
# Folders below history/ that hold each sample once.
TABLES = ["raw", "rollup_5m", "rollup_1h", "rollup_1d"]


def check_tables(history, wanted):
    for table in TABLES:
        for engine in ENGINES:
            rows = engine(history / table)
            seen = {(row[0], row[1]): tuple(float(value) for value in row[2:]) for row in rows}
            name = f"{engine.__name__.removeprefix('with_')}, {table}"
            assert len(rows) == len(seen), f"{name}: a group is there twice"
            assert seen == wanted, f"{name}: {seen}\nPromQL: {wanted}"
            print(f"{name}: {len(seen)} groups as PromQL")


def check_readme(history, server):
    """The availability of README.md, as it stands there, against PromQL."""
    import duckdb

    block = re.search(r"```sql\n(.*?)```", Path("README.md").read_text(), re.DOTALL)
    assert block and README_DATA in block[1], "README.md has no SQL over the history"
    duckdb.sql("SET TimeZone = 'UTC'")
    rows = duckdb.sql(block[1].replace(README_DATA, str(history))).fetchall()
    months = [END.replace(month=month, day=1) for month in [1, 2, 3]]
    for begin, end in zip(months, months[1:]):
        window = f"[{(end - begin).days}d] anchored"
        query = (
            f'1 - sum by (service) (increase(http_requests_total{{code=~"5.."}}{window}))'
            f" / sum by (service) (increase(http_requests_total{window}))"
        )
        wanted = {service: value for (service,), value in server.ask(query, end).items()}
        seen = {row[1]: row[2] for row in rows if (row[0].year, row[0].month) == (begin.year, begin.month)}
        assert seen == wanted, f"README.md's SQL for {begin:%Y-%m}: {seen}\nPromQL: {wanted}"
        print(f"duckdb, SQL of README.md, {begin:%Y-%m}: {len(seen)} services as PromQL")


def main(program):
    program = str(Path(program).resolve())
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        data, config = folder / "data", folder / "nines.yml"
        config.write_text(CONFIG)
        for text in write_texts(folder):
            subprocess.run([program, "import", "openmetrics", "--data", data, text], check=True, capture_output=True)
            # What comes late replaces files: a glob then sees every row once.
            now = str(seconds(END) + DAY_S)
            compact = [program, "history", "compact", "--data", data, "--now", now, "--config", config]
            subprocess.run(compact, check=True, capture_output=True)
        history = data / "tenants/anonymous/history"
        with Server(program, data) as server:
            wanted = answers(server)
            written = sum(1 for _ in samples())
            assert sum(count for count, _, _ in wanted.values()) == written, f"not {written} samples: {wanted}"
            check_readme(history, server)
        check_tables(history, wanted)


main(sys.argv[1])
