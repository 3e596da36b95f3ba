"""Order the stages and find the stream that each of them reads. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from fasthep_parsl.errors import Hint, Problem, suggest
from fasthep_parsl.names import collision_key
from fasthep_parsl.workflow.stage_model import Stage
from fasthep_parsl.workflow.yamldoc import Document, KeyPath, problem

STAGES: KeyPath = ("analysis", "stages")


class Yields(Protocol):
    """What an op yields."""

    @property
    def stream(self) -> bool:
        """Whether it yields a stream for later stages."""

    @property
    def product(self) -> str | None:
        """Name of its product, None if it has no product."""


@dataclass(frozen=True, slots=True)
class OrderedStage:
    """A stage, and what it needs.

    Attributes
    ----------
    stage : Stage
        The stage as written.
    index : int
        Its position in the file (``analysis.stages[index]``).
    needs : tuple of str
        All stages that must run first, including those of `from`, in the order of the file.
    input : str
        Stage that it reads the stream of, empty for the source.
    """

    stage: Stage
    index: int
    needs: tuple[str, ...]
    input: str


@dataclass(frozen=True, slots=True)
class Order:
    """Stages in topological order, close to the order of the file, and mistakes in them."""

    stages: tuple[OrderedStage, ...] = ()
    problems: tuple[Problem, ...] = ()


def order_stages(stages: Sequence[Stage], yields: Mapping[str, Yields], document: Document | None = None) -> Order:
    """Order stages and find the stream that each of them reads.

    Parameters
    ----------
    stages : sequence of Stage
        In the order of the file.
    yields : mapping
        Stage id → what its op yields. A stage with an unknown op is left out. It counts as yielding a stream and any
        product, so that one mistake is not reported twice.
    document : Document, optional
        The workflow, for the places of problems.

    Returns
    -------
    Order
        `stages` is empty if there are problems.
    """
    builder = _Builder(stages, yields, document)
    builder.names()
    builder.edges()
    builder.cycles()
    if builder.problems:
        return Order(problems=tuple(builder.problems))
    order = builder.sorted()
    inputs = builder.streams(order)
    if builder.problems:
        return Order(problems=tuple(builder.problems))
    ordered = [OrderedStage(stages[n], n, tuple(builder.before[n]), inputs[stages[n].id]) for n in order]
    return Order(tuple(ordered))


class _Builder:
    def __init__(self, stages: Sequence[Stage], yields: Mapping[str, Yields], document: Document | None) -> None:
        self.stages = stages
        self.yields = yields
        self.document = document
        self.problems: list[Problem] = []
        self.number: dict[str, int] = {}
        self.before: list[list[str]] = []

    def report(self, path: KeyPath, code: str, message: str, hint: Hint = "", name: str = "") -> None:
        self.problems.append(problem(self.document, (*STAGES, *path), code, message, hint, name=name))

    def stream(self, stage_id: str) -> bool:
        """Whether a stage yields a stream."""
        found = self.yields.get(stage_id)
        return True if found is None else found.stream

    def names(self) -> None:
        """Give numbers to the stages. Refuse equal ids."""
        folders: dict[str, str] = {}
        for number, stage in enumerate(self.stages):
            if stage.id in self.number:
                message = f"two stages have the id `{stage.id}` (stages[{self.number[stage.id]}] and [{number}])"
                self.report((number, "id"), "E120", message, "rename one of them")
            self.number.setdefault(stage.id, number)
            other = folders.setdefault(collision_key(stage.id), stage.id)
            if other != stage.id:
                message = f"the ids `{other}` and `{stage.id}` differ only in case or accents"
                hint = "their results would share a folder on some file systems; rename one of them"
                self.report((number, "id"), "E120", message, hint)

    def edges(self) -> None:
        """Find what each stage needs. Refuse unknown stages and products."""
        last = ""
        for number, stage in enumerate(self.stages):
            names: list[str] = []
            for position, name in enumerate(stage.needs or ()):
                self.known(stage, name, (number, "needs", position), names)
            for position, item in enumerate(stage.inputs):
                if self.known(stage, item.node, (number, "from", position, "node"), names):
                    self.port(item.node, item.port, (number, "from", position, "port"))
            if stage.needs is None and last and last not in names:
                names.append(last)
            self.before.append(list(dict.fromkeys(names)))
            if self.stream(stage.id):
                last = stage.id

    def known(self, stage: Stage, name: str, path: KeyPath, names: list[str]) -> bool:
        if name == stage.id:
            self.report(path, "E122", f"stage `{name}` needs itself", "remove it")
            return False
        if name not in self.number:
            others = [known for known in self.number if known != stage.id]
            hint = suggest(name, others, what="stages")
            self.report(path, "E121", f"stage `{stage.id}` needs `{name}`, which does not exist", hint, name)
            return False
        names.append(name)
        return True

    def port(self, node: str, port: str, path: KeyPath) -> None:
        found = self.yields.get(node)
        if found is None or port == found.product:
            return
        if found.product is None:
            message = f"stage `{node}` has no products, only a stream of events"
            self.report(path, "E124", message, f"to read its stream, write `needs: [{node}]`")
        else:
            hint = suggest(port, [found.product], what="products")
            self.report(path, "E124", f"stage `{node}` has no product `{port}`", hint, port)

    def cycles(self) -> None:
        """Refuse cycles of stages; report each cycle once."""
        done: set[str] = set()
        for start in self.number:
            trail: list[str] = []
            pending = [(start, iter(self.needs(start)))]
            while pending:
                name, rest = pending[-1]
                if name not in trail:
                    trail.append(name)
                following = next(rest, None)
                if following is None:
                    pending.pop()
                    trail.pop()
                    done.add(name)
                elif following in trail:
                    self.cycle(trail[trail.index(following) :])
                elif following not in done:
                    pending.append((following, iter(self.needs(following))))

    def needs(self, name: str) -> list[str]:
        return self.before[self.number[name]]

    def cycle(self, names: list[str]) -> None:
        shown = " → ".join([*names, names[0]])
        number = self.number[names[0]]
        what: KeyPath = (number, "needs") if self.stages[number].needs else (number, "from")
        self.report(what, "E122", f"stages need each other in a cycle: {shown}", "remove one of these `needs`")

    def sorted(self) -> list[int]:
        """Return positions in topological order, close to the order of the file."""
        order: list[int] = []
        placed: set[str] = set()
        waiting = list(range(len(self.stages)))
        while waiting:
            ready = next(n for n in waiting if placed.issuperset(self.before[n]))
            waiting.remove(ready)
            order.append(ready)
            placed.add(self.stages[ready].id)
        return order

    def streams(self, order: Sequence[int]) -> dict[str, str]:
        """Return stage → stage that it reads the stream of; empty for the source."""
        inputs: dict[str, str] = {}
        chain: dict[str, tuple[str, ...]] = {"": ("",)}  # stream → itself and the streams that it was made from
        for number in order:
            stage = self.stages[number]
            bound = {item.node for item in stage.inputs}
            named = [name for name in self.before[number] if name not in bound or name in (stage.needs or ())]
            streams = [name if self.stream(name) else inputs[name] for name in named or self.before[number]]
            found = list(dict.fromkeys(streams)) or [""]
            deepest = next((name for name in found if all(other in chain[name] for other in found)), None)
            if deepest is None:
                shown = " and ".join(f"`{name}`" for name in found if name)
                message = f"stage `{stage.id}` needs {shown}, which are different selections of events"
                hint = "keep one of them, or let one need the other; for their products, use `from`"
                self.report((number, "needs"), "E123", message, hint)
                deepest = found[0]
            inputs[stage.id] = deepest
            if self.stream(stage.id):
                chain[stage.id] = (stage.id, *chain[deepest])
        return inputs
