"""The report of a run with 100,000 tasks: bytes of the page, CPU time and memory to write it."""

from __future__ import annotations

import sys

from measure import measure
from setting import ROOT, BenchmarkError, Options, Row, middle, workspace

TASKS = 100_000
CODE = "import sys, pathlib; from fasthep_parsl.report import write_report; write_report(pathlib.Path(sys.argv[1]))"


def report(options: Options) -> list[Row]:
    """Write the report of 100,000 tasks on 1000 workers, in a process of its own."""
    sys.path.insert(0, str(ROOT / "tests"))
    from long_logs import long_plan, write_long_log

    seconds, peaks = [], []
    with workspace() as folder:
        plan = long_plan(TASKS)
        (folder / "plan.json").write_text(plan.model_dump_json())
        write_long_log(folder / "events.jsonl", plan, ended=False)
        for _ in range(options.repeats):
            usage = measure([sys.executable, "-c", CODE, str(folder)])
            if usage.returncode != 0:
                raise BenchmarkError(f"the report was not written:\n{usage.output[-2000:]}")
            seconds.append(usage.cpu)
            peaks.append(usage.peak_memory / 1e6)
        size = (folder / "report.html").stat().st_size / 1000
    took, peak = middle(seconds), middle(peaks)
    return [
        Row("report, 100,000 tasks, 1000 workers: page", size, "kB", size, 300.0),
        Row("report, 100,000 tasks, 1000 workers: CPU", took, "s", took, 3.0),
        Row("report, 100,000 tasks, 1000 workers: memory", peak, "MB", peak, 100.0),
    ]
