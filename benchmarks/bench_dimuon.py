"""CPU seconds of the dimuon analysis, in all processes, compared with a hand-written loop.

Neither draws plots. Every bin of every histogram must agree.
"""

from __future__ import annotations

from setting import (
    CHUNK,
    Options,
    Row,
    check_same_sums,
    data_folder,
    dimuon_workflow,
    middle,
    run_handwritten,
    run_workflow,
    workspace,
)


def _pair(events: int, chunk: int, options: Options, repeats: int) -> tuple[float, float]:
    """Return median CPU seconds of our run and of the loop. Runs alternate, and results must agree."""
    data = data_folder(events, options.triggers)
    ours, loops = [], []
    for number in range(repeats):
        with workspace() as folder:
            loop, expected = run_handwritten(data, chunk, folder / "loop.json")
            workflow = dimuon_workflow(folder, data)
            usage = run_workflow(workflow, folder / "run", "--chunk-size", str(chunk), "--no-plots")
            if number == 0:
                check_same_sums(folder / "run", expected)
        ours.append(usage.cpu)
        loops.append(loop.cpu)
    return middle(ours), middle(loops)


def dimuon(options: Options) -> list[Row]:
    """Measure the marginal and total cost. The loop opens a file per 100,000 events."""
    ours_small, loop_small = _pair(options.small, CHUNK, options, options.repeats)
    ours, loop = _pair(options.events, CHUNK, options, options.repeats)
    extra = (options.events - options.small) / 1e6
    slope, loop_slope = (ours - ours_small) / extra, (loop - loop_small) / extra
    width = f"{30 + options.triggers} branches"
    millions = options.events / 1e6
    return [
        Row(f"dimuon, per event, {width}", slope, "µs CPU", slope / loop_slope, 1.0, reference=loop_slope),
        Row(f"dimuon, {millions:g} M events, {width}", ours, "s CPU", ours / loop, 1.25, reference=loop),
    ]


def chunks(options: Options) -> list[Row]:
    """Measure 100,000 events in 1000 chunks."""
    ours, loop = _pair(100_000, 100, options, 1)
    return [Row("dimuon, 100 k events in 1000 chunks", ours, "s CPU", ours / loop, 0.3, reference=loop)]
