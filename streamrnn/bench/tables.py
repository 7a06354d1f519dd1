"""The bench's tables, for people: medians over the rounds. Knows results, not how they came about."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from statistics import median

from rich.table import Table

from streamrnn.bench.job import CONTENDERS, CatchingUp, Contender, Growth, Measured, Metering, ScaleRow
from streamrnn.bench.rounds import Results

NAMES: dict[Contender, str] = {
    "service": "streamrnn",
    "exact": "streamrnn, exactly once",
    "relay": "bare relay",
    "loop": "loop by hand",
}
CAPTION = "bare relay: getmany -> send_batch; loop by hand: one message, json.loads, nn.GRUCell, send"
EXACT = "exactly once, a prediction is there when its transaction is committed, as a read-committed reader sees it"
NO_EXACT = "exactly once needs transactions, which the embedded broker has not: --bootstrap an Apache Kafka"

FEW, FEW_STEPS = 10_000, 90
"""Below so many streams their bytes, and below so many steps their spread, are not shown."""


def middle(rows: Sequence[object], name: str) -> float:
    """The median of an attribute."""
    return median(float(getattr(row, name)) for row in rows)


def _table(title: str, caption: str, *columns: str) -> Table:
    """The first column to the left, numbers to the right."""
    table = Table(title=title, caption=caption)
    for number, name in enumerate(columns):
        table.add_column(name, justify="right" if number else "left")
    return table


def all_of(results: Results) -> Iterator[Table]:
    """A table of each part that was measured."""
    parts: Sequence[tuple[object, Callable[[Results], Table]]] = (
        (results.full, contenders),
        (results.rates, latencies),
        (results.engine, engine),
        (results.steps, steps),
        (results.written, kept),
        (results.daemons, daemons),
        (results.scale, scale),
        (results.partitions, partitions),
        (results.metrics, metrics),
        (results.catching_up, catching_up),
    )
    return (table(results) for measured, table in parts if measured)


def contenders(results: Results) -> Table:
    """Latency from the tick's timestamp (whole ms) to the acknowledged prediction, exactly once to its commit."""
    table = _table(
        "through the broker, each in its own process: full speed | at half load",
        f"{CAPTION}\n{EXACT if 'exact' in results.full else NO_EXACT}",
        *("", "ticks/s", "CPU us/tick", "speed", "ticks/s", "p50 ms", "p99 ms", "p99.9 ms"),
    )
    for who in (who for who in CONTENDERS if who in results.full):
        full, half = results.full[who], results.half.get(who)
        speed = [f"{middle(full, 'ticks_per_s'):,.0f}", f"{middle(full, 'cpu_us_per_tick'):.1f}"]
        late = ["", "", "", ""]
        if half:
            late = [f"{middle(half, 'ticks_per_s'):,.0f}"]
            late += [f"{middle(half, name):.2f}" for name in ("p50_ms", "p99_ms", "p999_ms")]
        table.add_row(NAMES[who], *speed, _speed(results, who), *late)
    return table


def latencies(results: Results) -> Table:
    """Of each contender at each rate, and what it adds to the relay's."""
    columns = ("", "p50 ms", "over the relay", "p99 ms", "over the relay")
    title = "latency at a rate, from the tick's timestamp (whole ms) to the acknowledged prediction"
    table = _table(title, EXACT, *columns)
    for rate, by_whom in results.rates.items():
        for who, runs in by_whom.items():
            cells = []
            for name in ("p50_ms", "p99_ms"):
                own, relays = middle(runs, name), middle(by_whom["relay"], name)
                cells += [f"{own:.2f}", "" if who == "relay" else f"{own - relays:+.2f}"]
            table.add_row(f"{rate:,.0f} ticks/s, {NAMES[who]}", *cells)
    return table


def _speed(results: Results, who: Contender) -> str:
    if who == "service":
        return "1"
    if who == "exact":
        return f"{results.ratio('exact', 'service'):.2f} x streamrnn"
    return f"streamrnn {results.ratio('service', who):.2f} x"


def engine(results: Results) -> Table:
    """Engine.step as a whole beside nn.GRUCell of the same size with index_select and index_copy_."""
    rows = results.engine
    table = _table(
        f"the engine's step on {rows[0].device}, beside index_select + nn.GRUCell + index_copy_",
        "",
        *("cell", "hidden", "batch", "step us", "ticks/s", "plain us", "speedup"),
    )
    for row in rows:
        times = (f"{row.step_us:,.0f}", f"{row.ticks_per_s:,.0f}", f"{row.plain_us:,.0f}", f"{row.speedup:.2f} x")
        table.add_row(row.cell, str(row.hidden), str(row.batch), *times)
    return table


def daemons(results: Results) -> Table:
    """Daemons by their number of workers; the ratio is the median over rounds."""
    table = _table(
        "streamrnn serve --workers, whole daemons on a backlog, from when all workers serve",
        "",
        *("workers", "ticks/s", "CPU us/tick", "speed"),
    )
    first = next(iter(results.daemons.values()))
    for count, runs in results.daemons.items():
        ratio = median(run.ticks_per_s / one.ticks_per_s for run, one in zip(runs, first, strict=True))
        speed = (f"{middle(runs, 'ticks_per_s'):,.0f}", f"{middle(runs, 'cpu_us_per_tick'):.1f}")
        table.add_row(str(count), *speed, f"{ratio:.2f} x")
    return table


def steps(results: Results) -> Table:
    """Engine.step while no snapshot is taken and while one is."""
    row = results.steps[0]
    table = _table(
        f"the engine's step, {row.batch:,} random of {row.streams:,} streams, without and during a full snapshot",
        "turn: from the step's submission to its end, with any wait for a slice that is being copied",
        *("", "step p50 ms", "p99 ms", "turn p50 ms", "p99 ms"),
    )
    for kind in ("without", "during"):
        names = [f"{kind}_{part}p{share}_us" for part in ("", "turn_") for share in (50, 99)]
        table.add_row(kind, *(f"{middle(results.steps, name) / 1000:.2f}" for name in names))
    table.add_row("p99 during / without", "", f"{middle(results.steps, 'ratio'):.2f} x", "", "")
    return table


def kept(results: Results) -> Table:
    """Snapshots of so many streams: written, and restored by a process that begins anew."""
    table = _table(
        "snapshots in a folder, through the daemon's keeper",
        "changed: an incremental one of 1 % of the streams; restored from both, files in the page cache",
        *("streams", "full s", "MB", "changed s", "MB", "restored s", "peak MB writing", "restoring"),
    )
    for size, wrote in results.written.items():
        back = results.restored[size]
        table.add_row(
            f"{size:,}",
            *(f"{middle(wrote, 'full_s'):.2f}", _mb(wrote, "full_bytes")),
            *(f"{middle(wrote, 'changed_s'):.2f}", _mb(wrote, "changed_bytes")),
            *(f"{middle(back, 'restore_s'):.2f}", _mb(wrote, "peak_bytes"), _mb(back, "peak_bytes")),
        )
    return table


def scale(results: Results) -> Table:
    """Engines by their streams: what a tick costs, what a stream takes, and the steps while they grew."""
    first = next(iter(results.scale.values()))[0]
    batches = [f"{cost.batch:,}" for cost in first.costs]
    table = _table(
        "the engine by its streams: us a tick in random order (median of steps), bytes a stream, growing by 1,024",
        "CPU: of the engine's thread; bytes: what the process grew by, of it state, key with name, notes of a row",
        *(
            "streams",
            *(name for batch in batches for name in (f"by {batch}", "CPU")),
            "bytes",
            "state",
            "key",
            "notes",
        ),
        *("CPU ms/step", "p99.9", "longest"),
    )
    for size, rows in results.scale.items():
        costs = [[row.costs[at] for row in rows] for at in range(len(batches))]
        table.add_row(
            f"{size:,}",
            *(f"{middle(cost, name):.2f}" for cost in costs for name in ("p50_us", "cpu_us")),
            *(_bytes_each(rows, name) for name in ("measured_bytes", "row_bytes", "key_bytes", "slot_bytes")),
            *_growing([row.growth for row in rows]),
        )
    return table


def _bytes_each(rows: Sequence[ScaleRow], name: str) -> str:
    """Of a stream, where there are so many that what is there without any counts little."""
    return f"{middle(rows, name):,.0f}" if rows[0].streams >= FEW else ""


def _growing(growths: Sequence[Growth]) -> tuple[str, str, str]:
    """Processor time, which other processes change little; nothing where the steps are too few."""
    if growths[0].steps < FEW_STEPS:
        return "", "", ""
    spreads = [growth.cpu for growth in growths]
    mean_ms, p999_ms, max_ms = (middle(spreads, name) for name in ("mean_ms", "p999_ms", "max_ms"))
    return f"{mean_ms:.2f}", f"{p999_ms:.2f}", f"{max_ms:.2f} ({max_ms / mean_ms:.1f} x)"


def partitions(results: Results) -> Table:
    """The service by its partitions."""
    title = "the service over one backlog in so many partitions"
    return _beside_the_first(title, {f"{count:,}": runs for count, runs in results.partitions.items()})


def metrics(results: Results) -> Table:
    """The service with its metrics, and with none that come with every batch."""
    names: dict[Metering, str] = {"service": "metrics on", "unmetered": "off"}
    title = "the service with its metrics and without"
    return _beside_the_first(title, {names[who]: runs for who, runs in results.metrics.items()})


def catching_up(results: Results) -> Table:
    """A whole topic predicted, and replayed."""
    names: dict[CatchingUp, str] = {"service": "predicted", "replay": "replayed, at a start without snapshots"}
    title = "catching up with a whole topic"
    return _beside_the_first(title, {names[who]: runs for who, runs in results.catching_up.items()})


def _beside_the_first(title: str, by_name: Mapping[str, Sequence[Measured]]) -> Table:
    """Ratios are medians of each round's own."""
    caption = "late: a timer of the event loop, p99, longest, and longest by the loop's own processor time"
    table = _table(title, caption, "", "ticks/s", "CPU us/tick", "by the first's", "late p99 ms", "longest", "own")
    first = next(iter(by_name.values()))
    for name, runs in by_name.items():
        ratio = median(run.cpu_us_per_tick / one.cpu_us_per_tick for run, one in zip(runs, first, strict=True))
        costs = (f"{middle(runs, 'ticks_per_s'):,.0f}", f"{middle(runs, 'cpu_us_per_tick'):.2f}")
        late = [f"{middle(runs, 'late_p99_ms'):.1f}"]
        late += [f"{max(getattr(run, name) for run in runs):.1f}" for name in ("late_max_ms", "late_own_ms")]
        table.add_row(name, *costs, f"{ratio:.3f} x", *late)
    return table


def _mb(rows: Sequence[object], name: str) -> str:
    return f"{middle(rows, name) / 1e6:,.1f}"
