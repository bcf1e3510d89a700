"""Writes hash_partition.txt: the partitions into which DataFusion's repartition puts keys.

The keys are those of rows 0 to 149: `wide` is 7919 i - 300000, null where i % 10 is 3, and `text` the letter i % 26 of the
alphabet i % 20 times. A line: the number of partitions, the key columns, then each row's partition. DataFusion tells it by
where the groups of a grouping by the keys come out. Run:
python3 tests/golden/make_hash_partition.py > tests/golden/hash_partition.txt (datafusion 55.0.0 made the committed one).
"""

import pyarrow as pa
from datafusion import SessionConfig, SessionContext

ROWS = range(150)
COLUMNS = {
    "wide": pa.array([None if i % 10 == 3 else 7919 * i - 300000 for i in ROWS], pa.int64()),
    "text": pa.array([chr(97 + i % 26) * (i % 20) for i in ROWS], pa.string()),
}
TABLE = pa.table(COLUMNS)


def partitions(count, keys):
    """A map of the keys of a row to its partition."""
    config = SessionConfig().with_target_partitions(count).with_repartition_aggregations(True)
    ctx = SessionContext(config)
    batches = TABLE.to_batches(max_chunksize=1)
    ctx.register_record_batches("t", [batches[i::count] for i in range(count)])
    frame = ctx.sql(f"SELECT {keys}, count(*) FROM t GROUP BY {keys}")
    plan = frame.execution_plan().display_indent()
    assert "RepartitionExec: partitioning=Hash([" in plan and f"], {count})" in plan, plan
    found = {}
    for partition, stream in enumerate(frame.execute_stream_partitioned()):
        for batch in stream:
            columns = [column.to_pylist() for column in batch.to_pyarrow().columns[:-1]]
            found.update({key: partition for key in zip(*columns)})
    return found


for count in [2, 7, 16, 100]:
    for keys in ["wide", "text", "wide, text"]:
        found = partitions(count, keys)
        names = keys.split(", ")
        rows = zip(*[COLUMNS[name].to_pylist() for name in names])
        print(count, ",".join(names), *[found[row] for row in rows])
