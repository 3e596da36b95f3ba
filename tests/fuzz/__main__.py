"""``python -m fuzz``: try random cases until stopped, for some minutes, or a number of them; say what ran and what differed.

``--replay SEED --only KIND`` tries one case again.
"""

from __future__ import annotations

import argparse
import sys
import time
import zlib
from collections import Counter
from collections.abc import Callable

from fuzz.checks import one_expression
from fuzz.ops_by_loop import one_op
from fuzz.variations import one_variations
from fuzz.workflows import one_workflow


def one_cluster(seed: str) -> tuple[bool, str]:
    """Try a workflow on Parsl; of every third a worker is killed once."""
    return one_workflow(seed, backend="parsl", kill=hash_of(seed) % 3 == 0)


def hash_of(seed: str) -> int:
    return zlib.crc32(seed.encode())


KINDS: dict[str, tuple[int, Callable[[str], tuple[bool, str]]]] = {
    "expressions": (100, one_expression),
    "ops": (40, one_op),
    "workflows": (2, one_workflow),
    "variations": (5, one_variations),
    "parsl": (1, one_cluster),
}
"""Kind → cases in one round, and the function that tries a seed."""


def main() -> int:
    parser = argparse.ArgumentParser("fuzz", description="Random cases against plain loops.")
    parser.add_argument("--seed", help="default: the time; printed", default=str(int(time.time())))
    parser.add_argument("--minutes", type=float, help="stop after this time")
    parser.add_argument("--count", type=int, help="stop after this number of each kind that is tried")
    parser.add_argument("--only", choices=KINDS, action="append", help="a kind of cases; may be given again")
    parser.add_argument("--replay", help="try one seed, as a failure shows it")
    args = parser.parse_args()
    kinds = {name: KINDS[name] for name in args.only or KINDS}
    if args.replay:
        whys = [try_one(args.replay)[1] for _, try_one in kinds.values()]
        print("\n\n".join(filter(None, whys)) or "no difference")
        return int(any(whys))
    print(f"seed {args.seed}", flush=True)
    ran, failed = Counter(), Counter()
    try:
        _rounds(kinds, args, ran, failed)
    except KeyboardInterrupt:
        print("stopped")
    for name in kinds:
        print(f"{name}: {ran[name]} ran, {failed[name]} differ (seed {args.seed})")
    return int(failed.total() > 0)


def _rounds(kinds, args, ran, failed) -> None:
    begun, told = time.monotonic(), time.monotonic()
    tried: Counter[str] = Counter()
    while args.minutes is None or time.monotonic() < begun + 60 * args.minutes:
        open_kinds = [name for name in kinds if args.count is None or ran[name] < args.count]
        if not open_kinds:
            return
        for name in open_kinds:
            share, try_one = kinds[name]
            for _ in range(share):
                tried[name] += 1
                counts, why = try_one(f"{args.seed}-{tried[name]}")
                ran[name] += counts
                if why:
                    failed[name] += 1
                    print(f"--- {name}\n{why}\n", flush=True)
        if time.monotonic() > told + 60:
            told = time.monotonic()
            print(", ".join(f"{name}: {ran[name]} ran, {failed[name]} differ" for name in kinds), flush=True)


if __name__ == "__main__":
    sys.exit(main())
