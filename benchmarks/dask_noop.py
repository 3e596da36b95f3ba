"""Run 1000 × 4 no-ops as dask.distributed futures on two workers, after the cluster is up, and print the seconds."""

from __future__ import annotations

import sys
import time


def identity(value: int) -> int:
    return value


def main(partitions: int) -> None:
    from distributed import Client, LocalCluster

    cluster = LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None)
    with cluster, Client(cluster) as client:
        client.wait_for_workers(2)
        client.gather(client.map(identity, range(100), pure=False))
        start = time.perf_counter()
        level = client.map(lambda _: 1, range(partitions), pure=False)
        for _ in range(3):
            level = client.map(identity, level, pure=False)
        while len(level) > 1:
            level = [client.submit(sum, level[i : i + 20], pure=False) for i in range(0, len(level), 20)]
        total = level[0].result()
        wall = time.perf_counter() - start
        if total != partitions:
            raise SystemExit(f"{total} of {partitions} partitions came back")
        print(wall)


if __name__ == "__main__":
    main(int(sys.argv[1]))
