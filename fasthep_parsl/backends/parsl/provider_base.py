"""What our providers have in common: Parsl gives them blocks to start, and looks at nothing else."""

from __future__ import annotations

from parsl.providers.base import ExecutionProvider


class SelfManagedProvider(ExecutionProvider):  # type: ignore[misc]  # Parsl is not typed
    """A provider whose blocks are looked after by their pool.

    Parameters
    ----------
    label : str
        Name in Parsl's logs.
    cores_per_node : int
        Cores that workers of a node may use.
    max_blocks, nodes_per_block : int
        Most blocks, and nodes of each.
    """

    def __init__(self, label: str, cores_per_node: int, max_blocks: int = 1, nodes_per_block: int = 1) -> None:
        self._label = label
        self._cores_per_node = cores_per_node
        self.nodes_per_block = nodes_per_block
        self.init_blocks = 0
        self.min_blocks = 0
        self.max_blocks = max_blocks
        self.parallelism = 1.0
        self.script_dir: str | None = None
        self.resources: dict[object, object] = {}

    @property
    def label(self) -> str:
        """Name of the provider in Parsl's logs."""
        return self._label

    @property
    def cores_per_node(self) -> int:
        """Cores that workers may use."""
        return self._cores_per_node

    @cores_per_node.setter
    def cores_per_node(self, value: int) -> None:
        self._cores_per_node = value

    @property
    def mem_per_node(self) -> float | None:
        """Not limited here: the plan has fitted the workers already."""
        return None

    @property
    def status_polling_interval(self) -> int:
        """0: Parsl does not look at the blocks, their pool does.

        Parsl has one thread for all executors, and that thread hangs for ever when one interchange has died.
        """
        return 0
