"""Workflows with variations against a loop that evaluates the whole chain again for each of them, event by event."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

Event = dict[str, Any]
State = list[tuple[Event, bool]]
"""Fields of each event, and whether it is kept."""
FUNCTIONS = {"sum": lambda x: float(np.sum(x)), "count_nonzero": lambda x: float(np.count_nonzero(x)),
             "where": lambda c, a, b: a if c else b}  # fmt: skip
EDGES = {"nbins": 6, "low": -2, "high": 4}


def worth(text: str, event: Event) -> Any:
    return eval(text, {"__builtins__": {}}, {**FUNCTIONS, **event})


class Maker:
    """Makes a random workflow: three datasets, of which `c` may take the place of `a`."""

    def __init__(self, random: Random) -> None:
        self.random = random
        self.data = {name: [self.event() for _ in range(random.randint(1, 7))] for name in "abc"}
        self.stages: list[dict[str, Any]] = []
        self.scalars: dict[str, list[str]] = {"": ["x", "y", "z"]}
        self.weights: dict[str, list[str]] = {"": ["w"]}
        self.own: list[str] = []
        self.regions = {f"r{i}": [self.cut("")] for i in range(random.randint(0, 2))}
        for number in range(random.randint(3, 8)):
            self.add(number)
        self.hist("Last", self.random.choice(list(self.scalars)[-2:]))
        self.variations = [self.variation(f"v{i}") for i in range(random.randint(1, 3))]

    def event(self) -> Event:
        eighth = lambda: self.random.randint(-20, 30) / 8
        jets = self.random.randint(0, 3)
        return {n: eighth() for n in "xyz"} | {"w": self.random.randint(1, 12) / 8} | {
            n: np.array([eighth() for _ in range(jets)], dtype=float) for n in ("J_a", "J_b")
        }  # fmt: skip

    def expr(self, stream: str) -> str:
        a, b = (self.random.choice(self.scalars[stream]) for _ in "ab")
        return self.random.choice(
            [f"{a} + {b}", f"{a} - {b}", f"{a} + 0.5", f"{a} - 1.25", f"where({a} > {b}, {a}, {b})", "sum(J_a)",
             f"count_nonzero(J_a > 1) + {a}", "sum(J_b) - 1"]
        )  # fmt: skip

    def cut(self, stream: str) -> str:
        return f"{self.expr(stream)} {self.random.choice(['>', '<'])} {self.random.choice([-1, 0, 0.5, 2])}"

    def condition(self, share: float = 0.35) -> dict[str, Any]:
        if self.random.random() > share:
            return {}
        return {"applies_to": {"datasets": self.random.sample("abc", self.random.randint(1, 2))}}

    def add(self, number: int) -> None:
        kind = self.random.choice(
            ["define", "define", "overwrite", "select", "cutflow", "objects", "weight", "hist", "hist"]
        )
        getattr(self, kind)(f"S{number}", self.random.choice(list(self.scalars)[-2:]))

    def put(self, name: str, op: str, stream: str, params: Any, *, passes: bool = True, **more: Any) -> None:
        self.stages.append({"id": name, "op": op, "needs": [stream] if stream else [], "params": params, **more})
        if passes:
            self.scalars[name], self.weights[name] = list(self.scalars[stream]), list(self.weights[stream])

    def define(self, name: str, stream: str) -> None:
        new = f"n{name}" if self.random.random() < 0.7 else "shared"
        self.put(name, "hep.define", stream, {"variables": [{"name": new, "expr": self.expr(stream)}]})
        self.scalars[name] = list(dict.fromkeys((*self.scalars[stream], new)))

    def overwrite(self, name: str, stream: str) -> None:
        field = self.random.choice(self.scalars[stream])
        expr = self.expr(stream)
        self.put(name, "hep.define", stream, {"variables": [{"name": field, "expr": expr}]}, **self.condition(0.6))

    def select(self, name: str, stream: str) -> None:
        self.put(name, "hep.select", stream, {"selection": [self.cut(stream)]}, **self.condition())

    def cutflow(self, name: str, stream: str) -> None:
        params = {"selection": [self.cut(stream) for _ in range(self.random.randint(1, 2))],
                  "filter": self.random.random() < 0.7, "emit_flags": False}  # fmt: skip
        if self.random.random() < 0.5:
            params["weight_expr"] = self.random.choice(self.weights[stream])
        self.put(name, "hep.selection.cutflow", stream, params)

    def objects(self, name: str, stream: str) -> None:
        params = {
            "collection": "J",
            "output": f"G{name}",
            "keep": ["a", "b"],
            "sort": False,
            "selection": [f"a > {self.random.choice([-1, 0, 1])}"],
        }
        self.put(f"{name}G", "hep.select_objects", stream, params)
        variable = {"name": f"n{name}", "expr": f"sum(G{name}_a) + sum(G{name}_b)"}
        self.put(name, "hep.define", f"{name}G", {"variables": [variable]})
        self.scalars[name] = [*self.scalars[stream], f"n{name}"]

    def weight(self, name: str, stream: str) -> None:
        field = self.random.choice(self.scalars[stream])
        factors: dict[str, Any] = {"w": "w", "f": f"where({field} > 0.5, 1.5, 0.5)"}
        if self.random.random() < 0.7:
            factors[f"o{name}"] = {"nominal": "1.0", "up": f"where({field} > 1, 1.25, 2.0)", "down": "0.5"}
            self.own += [f"o{name}_up", f"o{name}_down"]
        self.put(name, "hep.weight", stream, {"output": f"w{name}", "factors": factors})
        self.weights[name] = [*self.weights[stream], f"w{name}"]

    def hist(self, name: str, stream: str) -> None:
        source = self.random.choice(self.scalars[stream])
        axes = [{"name": "h", "source": source, "type": "regular", "bins": EDGES}]
        params: dict[str, Any] = {"axes": axes, "dataset_axis": True}
        if self.random.random() < 0.6:
            params["weight_expr"] = self.random.choice(self.weights[stream])
        if self.regions and self.random.random() < 0.5:
            params["regions"] = self.random.sample(list(self.regions), 1 + self.random.randrange(len(self.regions)))
        self.put(name, "hep.hist", stream, params, passes=False, **self.condition(0.3))

    def variation(self, name: str) -> dict[str, Any]:
        own = [n for n in self.own if n not in {v["name"] for v in getattr(self, "variations", [])}]
        found: dict[str, Any] = {"name": name, **self.condition()}
        if own and self.random.random() < 0.3:
            found = {"name": own[int(name[1:]) % len(own)]}
        if self.random.random() < 0.12 and found["name"] == name:
            return {"name": name, "datasets": {"a": "c"}}
        names = sorted({n for of in self.scalars.values() for n in of if n in "xyz" or n == "shared" or n[0] == "n"})
        if self.random.random() < 0.8:
            chosen = self.random.sample([*names, "J_a", "J_a"], self.random.choice([1, 1, 2]))
            found["replace"] = {"fields": {n: self.replacement(n) for n in chosen}}
        if "replace" not in found or self.random.random() < 0.3:
            found["weight"] = {"multiply": [f"where({self.random.choice('xyz')} > 0.5, 1.5, 0.75)"]}
        return found

    def replacement(self, name: str) -> str:
        if name == "J_a":
            return self.random.choice(["J_a + 0.5", "J_a - J_b", "J_a + x"])
        return self.random.choice([f"{name} + 0.75", f"{name} - 1", f"{name} + y", "z - x"])

    def content(self, folder: Path) -> dict[str, Any]:
        datasets = [{"name": n, "files": [str(folder / f"{n}.parquet")], "eventtype": "mc"} for n in self.data]
        return {
            "version": "1.0",
            "data": {"datasets": datasets},
            "sources": {"events": {"kind": "parquet"}},
            "systematics": {"variations": self.variations},
            "analysis": {"stages": self.stages, "regions": self.regions},
            "execution": {"backend": "local"},
        }


def chain(made: Maker, dataset: str, known: dict[str, Any], nominal: dict[str, State] | None) -> dict[str, State]:
    """Return the events after each stage, in a variation of which `nominal` are the nominal ones."""
    fields = known.get("replace", {}).get("fields", {}) if nominal else {}
    written = {f for stage in made.stages for f in outputs(stage)}

    def replaced(stream: str, state: State, names: Iterable[str]) -> State:
        texts = {n: fields[n] for n in names if n in fields}
        if not texts:
            return state
        return [({**event, **{n: worth(t, plain) for n, t in texts.items()}}, kept)
                for (event, kept), (plain, _) in zip(state, nominal[stream], strict=True)]  # fmt: skip

    states = {"": replaced("", [(event, True) for event in made.data[dataset]], fields.keys() - written)}
    for stage in made.stages:
        before = states[(stage["needs"] or [""])[0]]
        if applies(stage, dataset):
            before = [after(stage, event, kept, known if nominal else {}) for event, kept in before]
        states[stage["id"]] = replaced(stage["id"], before, outputs(stage))
    return states


def applies(item: dict[str, Any], dataset: str) -> bool:
    return dataset in item["applies_to"]["datasets"] if "applies_to" in item else True


def outputs(stage: dict[str, Any]) -> list[str]:
    if stage["op"] == "hep.define":
        return [stage["params"]["variables"][0]["name"]]
    output = stage["params"].get("output", "")
    return [f"{output}_a", f"{output}_b"] if stage["op"] == "hep.select_objects" else []


def after(stage: dict[str, Any], event: Event, kept: bool, known: dict[str, Any]) -> tuple[Event, bool]:
    """Return an event after a stage."""
    params = stage["params"]
    if stage["op"] == "hep.define":
        (made,) = params["variables"]
        return {**event, made["name"]: worth(made["expr"], event)}, kept
    if stage["op"] == "hep.select" or (stage["op"] == "hep.selection.cutflow" and params["filter"]):
        return event, kept and all(worth(cut, event) for cut in params["selection"])
    if stage["op"] == "hep.select_objects":
        good = worth(f"J_{params['selection'][0]}", event)
        return {**event, **{f"{params['output']}_{n}": event[f"J_{n}"][good] for n in "ab"}}, kept
    if stage["op"] == "hep.weight":
        value = 1.0
        for name, factor in params["factors"].items():
            text = factor
            if isinstance(factor, dict):
                side = known.get("name", "").removeprefix(f"{name}_")
                text = factor[side if side in ("up", "down") else "nominal"]
            value *= worth(text, event)
        return {**event, params["output"]: value}, kept
    return event, kept


def weight_of(params: dict[str, Any], event: Event, known: dict[str, Any]) -> float:
    value = event[params["weight_expr"]] if "weight_expr" in params else 1.0
    for text in known.get("weight", {}).get("multiply", ()):
        value *= worth(text, event)
    return value


def bins(stage: dict[str, Any], state: State, known: dict[str, Any], cuts: list[str]) -> np.ndarray:
    """Return the sums of weights and of their squares in each bin, flow included."""
    found = np.zeros((2, EDGES["nbins"] + 2))
    for event, kept in state:
        if kept and all(worth(cut, event) for cut in cuts):
            index = int(np.clip(np.floor(event[stage["params"]["axes"][0]["source"]] + 2), -1, EDGES["nbins"])) + 1
            weight = weight_of(stage["params"], event, known)
            found[:, index] += weight, weight * weight
    return found


def rows(stage: dict[str, Any], state: State, known: dict[str, Any]) -> list[list[float]]:
    """Return the number of events after each cut, and the sums of their weights."""
    found, left = [], [event for event, kept in state if kept]
    for cut in stage["params"]["selection"]:
        left = [event for event in left if worth(cut, event)]
        weights = [weight_of(stage["params"], event, known) for event in left]
        found.append([len(left), sum(weights), sum(w * w for w in weights)])
    return found


def one_variations(seed: str) -> tuple[bool, str]:
    """Run the workflow of a seed; return whether it ran, and how its results differ."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    import fasthep_parsl
    from fasthep_parsl.errors import ConfigError, IncompleteRunError

    random = Random(f"variations {seed}")
    made = Maker(random)
    folder = Path(tempfile.mkdtemp(prefix="fuzz-"))
    before = os.environ.get("FASTHEP_PARSL_CACHE")
    os.environ["FASTHEP_PARSL_CACHE"] = str(folder / "cache")
    try:
        for name, events in made.data.items():
            types = {n: pa.list_(pa.float64()) if n.startswith("J") else pa.float64() for n in events[0]}
            table = pa.table({n: pa.array([e[n] for e in events], kind) for n, kind in types.items()})
            pq.write_table(table, folder / f"{name}.parquet", row_group_size=3)
        content = json.dumps(made.content(folder))
        (folder / "flow.yaml").write_text(content)
        try:
            outcome = fasthep_parsl.run(
                folder / "flow.yaml", outdir=folder / "run", chunk_size=random.choice([1, 3, 1000]), plots=False
            )
        except ConfigError as error:
            wrong = [p for p in error.problems if p.code != "E129"]
            return False, f"seed {seed}: {wrong}\n{content}" if wrong else ""
        except IncompleteRunError as error:
            return True, f"seed {seed}: {error}\n{content}"
        why = outcome.error if outcome.status != "complete" else compared(made, folder / "run" / "results")
        return True, f"seed {seed}: {why}\n{content}" if why else ""
    finally:
        os.environ.pop("FASTHEP_PARSL_CACHE")
        if before is not None:
            os.environ["FASTHEP_PARSL_CACHE"] = before
        shutil.rmtree(folder, ignore_errors=True)


def compared(made: Maker, results: Path) -> str:
    """Return the first difference of what a run has written."""
    listed = {known["name"]: known for known in made.variations}
    known_all = {"nominal": {}} | {n: {"name": n} for n in made.own} | listed
    nominal = {name: chain(made, name, {}, None) for name in made.data}
    substitutes = {new for known in made.variations for new in known.get("datasets", {}).values()}
    for variation, known in known_all.items():
        for dataset in made.data.keys() - substitutes:  # results have no category for those
            origin = known.get("datasets", {}).get(dataset, dataset)
            own = known
            if "datasets" in known or not applies(known, dataset) or variation == "nominal":
                own, states = {}, nominal[origin]
            else:
                states = chain(made, dataset, known, nominal[dataset])
            for stage in made.stages:
                why = stage_differs(made, results, stage, states, own, (variation, dataset, origin))
                if why:
                    return f"{stage['id']}, {variation}, dataset {dataset}: {why}"
    return ""


def stage_differs(
    made: Maker, results: Path, stage: dict[str, Any], states: dict[str, State], known: Any, at: tuple[str, str, str]
) -> str:
    import hist
    import uhi.io.json

    variation, dataset, origin = at
    state = states[(stage["needs"] or [""])[0]]
    path = results / stage["id"]
    if stage["op"] == "hep.selection.cutflow":
        table = json.loads((path / "cutflow.json").read_text())
        its = table.get("variations", {}).get(variation, table["datasets"]).get(dataset, [])
        seen = [[row["n_out"], row["sumw_out"], row["sumw2_out"]] for row in its]
        right = rows(stage, state, known)
        return "" if seen == right else f"{seen} / expected {right}"
    if stage["op"] != "hep.hist":
        return ""
    whole = hist.Hist(json.loads((path / "hist.json").read_text(), object_hook=uhi.io.json.object_hook))
    names = {axis.name: list(axis) for axis in whole.axes if axis.name != "h"}
    if "variation" in names:
        whole = whole[{"variation": variation if variation in names["variation"] else "nominal"}]
    for region in names.get("region", [None]):
        cuts = made.regions[region] if region else []
        right = bins(stage, state, known, cuts) if applies(stage, origin) else np.zeros((2, EDGES["nbins"] + 2))
        part = whole if region is None else whole[{"region": region}]
        if dataset not in names["dataset"]:
            seen = np.zeros_like(right)
        else:
            part = part[{"dataset": dataset}]
            values = part.values(flow=True)
            variances = part.variances(flow=True)
            seen = np.array([values, values if variances is None else variances])
        if not np.array_equal(seen, right):
            return f"region {region}: {seen.tolist()} / expected {right.tolist()}"
    return ""
