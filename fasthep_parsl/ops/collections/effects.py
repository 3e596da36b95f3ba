"""Find what ``hep.build_combinations`` and ``hep.build_pairs`` read and write, before the run."""

from __future__ import annotations

from typing import Any, Protocol

from fasthep_parsl.errors import suggest
from fasthep_parsl.interfaces import Effects, OpProblem, ParamPath, Schema, Shape
from fasthep_parsl.ops.collections.candidates import NEEDS, CandidateSpec
from fasthep_parsl.ops.collections.collection import collection_fields, existing_fields, unknown_collection
from fasthep_parsl.ops.collections.scopes import ScopeSchema


class CombinationParams(Protocol):
    """The parameters of both ops."""

    @property
    def sort(self) -> Any:
        """Sort key and direction, if any."""

    def spec(self) -> CandidateSpec:
        """Return the candidates to build."""

    def problems(self) -> list[OpProblem]:
        """Return contradictions between the parameters."""

    def selections(self) -> list[tuple[ParamPath, str]]:
        """Return (key path, expression) in the order of evaluation."""


class EffectsAnalysis:
    """Collects the reads, writes and problems of candidates."""

    def __init__(self, params: CombinationParams, schema: Schema) -> None:
        self.params = params
        self.schema = schema
        self.spec = params.spec()
        self.reads: dict[str, ParamPath] = {}
        self.problems = params.problems()
        self.collections_path: ParamPath = ("collection",) if getattr(params, "collection", None) else ("collections",)

    def run(self) -> Effects:
        """Return the effects."""
        for i, name in enumerate(self.spec.collections):
            path = self.collections_path if self.collections_path == ("collection",) else (*self.collections_path, i)
            self.problems += unknown_collection(self.schema, name, path)
        for name in self.spec.masses.keys() - set(self.spec.collections):
            self.problems.append(OpProblem(("mass", name), f"`{name}` is not one of the collections"))
        if self.problems:
            return Effects(problems=tuple(self.problems))
        self.analyse_expressions()
        self.analyse_keep()
        for name in self.spec.collections:
            self.reads.setdefault(f"{name}_pt", self.collections_path)
        counter = f"n{self.spec.candidate}"
        writes: dict[str, Shape] = {counter: ()} | dict.fromkeys(self.outputs(), (counter,))
        self.problems += existing_fields(self.schema, writes, ("output",))
        return Effects(self.reads, writes, tuple(dict.fromkeys(self.problems)))

    def fields(self, name: str) -> list[str]:
        """Return the fields of a collection, including a mass from the parameters."""
        found = collection_fields(self.schema, name)
        return found if "mass" in found or name not in self.spec.masses else [*found, "mass"]

    def sources(self, name: str, field: str) -> tuple[str, ...]:
        """Return the field of the stream for a field of a collection; nothing for a fixed mass."""
        return () if field == "mass" and name in self.spec.masses else (f"{name}_{field}",)

    def collections_of(self, k: int) -> tuple[str, ...]:
        """Return the possible collections of constituent `k`."""
        return self.spec.collections if self.spec.merged else (self.spec.collections[k],)

    def local(self) -> dict[str, list[str]]:
        """Return the local names of expressions, with the fields that each is computed from."""
        names = {
            quantity: [s for c in self.spec.collections for need in needs for s in self.sources(c, need)]
            for quantity, needs in NEEDS.items()
        }
        for k, role in enumerate(self.spec.roles):
            first, *others = self.collections_of(k)
            for field in self.fields(first):
                if all(field in self.fields(other) for other in others):
                    names[f"{role}_{field}"] = [s for c in (first, *others) for s in self.sources(c, field)]
            names[f"{role}_index"] = []
        return names

    def analyse_expressions(self) -> None:
        """Analyse selection and sort."""
        scope = ScopeSchema(self.schema, (f"n{self.spec.candidate}",), self.local())
        items = self.params.selections()
        if self.params.sort:
            items.append((("sort", "by"), self.params.sort.by))
        for path, text in items:
            needed, wrong = scope.analyse(text, path)
            for field in needed:
                self.add_read(field, path)
            self.problems += wrong

    def add_read(self, field: str, path: ParamPath) -> None:
        """Add a field to the reads. A missing mass is a problem: it can be given as a parameter."""
        if field in self.schema or not field.endswith("_mass"):
            self.reads.setdefault(field, path)
        else:
            self.problems.append(
                OpProblem(
                    path,
                    f"the mass needs `{field}`, which does not exist",
                    "give the mass in GeV, e.g. `mass: 0.10566`",
                    field,
                )
            )

    def analyse_keep(self) -> None:
        """Analyse `keep`."""
        for i, name in enumerate(self.spec.keep or ()):
            if name not in NEEDS:
                hint = suggest(name, NEEDS, what="a candidate has")
                self.problems.append(OpProblem(("keep", "candidate", i), f"a candidate has no `{name}`", hint))
        local = self.local()
        for i, name in enumerate(self.quantities()):
            path: ParamPath = self.collections_path if self.spec.keep is None else ("keep", "candidate", i)
            for field in local.get(name, ()):
                self.add_read(field, path)
        for i, name in enumerate(self.spec.constituents):
            path = ("keep", "constituents", i)
            for collection in self.spec.collections:
                if name == "index":
                    self.check_index(collection, path)
                    continue
                for field in self.sources(collection, name):
                    self.add_read(field, path)
                    if self.schema.get(field) == ():
                        self.problems.append(OpProblem(path, f"`{field}` has one value per event"))

    def check_index(self, collection: str, path: ParamPath) -> None:
        """Add a problem if a collection has a field ``index``, the name of the position."""
        if "index" in self.fields(collection):
            message = f"`{collection}_index` conflicts with the position in `{collection}`, which is written as `index`"
            self.problems.append(OpProblem(path, message, "leave `index` out, and read it later at the position"))

    def quantities(self) -> tuple[str, ...]:
        """Return the quantities of the candidate that are written."""
        if self.spec.keep is not None:
            return self.spec.keep
        charged = all("charge" in self.fields(name) for name in self.spec.collections)
        return tuple(name for name in NEEDS if name != "charge" or charged)

    def outputs(self) -> list[str]:
        """Return the fields that are written, without the counter."""
        spec = self.spec
        fields = dict.fromkeys((*spec.constituents, *(["index"] if spec.index else [])))
        return [f"{spec.candidate}_{name}" for name in self.quantities()] + [
            f"{spec.prefix}_{role}_{field}" for role in spec.roles for field in fields
        ]
