"""``hep.build_combinations`` and ``hep.build_pairs``: build candidates from several objects of an event."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from fasthep_parsl.errors import suggest
from fasthep_parsl.interfaces import Context, Effects, OpProblem, ParamPath, Schema
from fasthep_parsl.ops.collections.candidates import CandidateSpec, build
from fasthep_parsl.ops.collections.collection import Name, Params
from fasthep_parsl.ops.collections.combinatorics import Orders, orders_of
from fasthep_parsl.ops.collections.effects import EffectsAnalysis
from fasthep_parsl.ops.declare import op
from fasthep_parsl.ops.stream import Events


class CombinationSort(Params):
    """Order of the candidates of an event, e.g. ``by: abs(mass - 91.2)``. Stable; NaN comes last."""

    by: str
    order: Literal["ascending", "descending"] = "ascending"


class CombinationSelection(Params):
    """Expressions that a candidate must fulfil. Those on constituents are evaluated first, because they are cheap."""

    pair: list[str] | None = Field(default=None, description="expressions of constituents, `<role>_<field>`")
    combination: list[str] | None = Field(
        default=None, description="the same as `pair`, for any number of constituents"
    )
    candidate: list[str] | None = Field(
        default=None, description="expressions of pt, eta, phi, mass, charge of the candidate"
    )


class CombinationKeep(Params):
    """Fields of the candidates and of their constituents to write."""

    candidate: list[Name] | None = Field(default=None, description="some of pt, eta, phi, mass, charge; default: all")
    constituents: list[Name] | None = Field(default=None, description="fields of the collection; default: none")


class PairRule(Params):
    """How pairs are formed. Only the defaults are supported."""

    unordered: Literal[True] = True
    distinct_objects: Literal[True] = True


class _Common(Params):
    """Parameters of both ops."""

    output: Name = Field(description="name of the candidates")
    selection: CombinationSelection | list[str] | None = Field(
        default=None, description="expressions that a candidate must fulfil"
    )
    sort: CombinationSort | Literal[False] | None = Field(
        default=None, description="default: no sorting, in the order of the objects"
    )
    take: int | None = Field(
        default=None, ge=1, description="maximum number of candidates per event, after sorting; default: all"
    )
    keep: CombinationKeep = CombinationKeep()
    mass: float | dict[Name, float] | None = Field(
        default=None,
        description="mass of the constituents in GeV, which replaces the field `mass`; or a mapping collection → mass",
    )

    def selections(self) -> list[tuple[ParamPath, str]]:
        """Return (key path, expression) in the order of evaluation."""
        if self.selection is None:
            return []
        if isinstance(self.selection, list):
            return [(("selection", i), text) for i, text in enumerate(self.selection)]
        groups = {name: getattr(self.selection, name) or [] for name in type(self.selection).model_fields}
        return [(("selection", name, i), text) for name, texts in groups.items() for i, text in enumerate(texts)]

    def _spec(
        self,
        names: list[str],
        roles: list[str],
        *,
        n: int,
        merged: bool,
        candidate: str,
        index: bool,
        orders: Orders | None = None,
    ) -> CandidateSpec:
        fixed = (
            {} if self.mass is None else dict.fromkeys(names, self.mass) if isinstance(self.mass, float) else self.mass
        )
        return CandidateSpec(
            collections=tuple(names),
            n=n,
            merged=merged,
            roles=tuple(roles),
            candidate=candidate,
            prefix=self.output,
            selection=tuple(text for _, text in self.selections()),
            sort=(self.sort.by, self.sort.order == "descending") if self.sort else None,
            take=self.take,
            keep=None if self.keep.candidate is None else tuple(self.keep.candidate),
            constituents=tuple(self.keep.constituents or ()),
            masses=fixed,
            index=index,
            orders=orders,
        )


class BuildCombinations(_Common):
    """Parameters of ``hep.build_combinations``."""

    collection: Name | None = Field(default=None, description="combine `n` different objects of this collection")
    collections: list[Name] | None = Field(
        default=None, min_length=1, description="combine one object of each of these collections"
    )
    n: int | None = Field(default=None, ge=2, le=8, description="number of objects; default: 2")
    roles: list[Name] | None = Field(default=None, description="names of the constituents; default: Muon_1, Muon_2 …")
    exchangeable: list[list[Name]] | None = Field(
        default=None,
        description="groups of roles that are alike; each assignment of objects to the other roles is a candidate; "
        "`[]`: all roles differ; default: all are alike",
    )

    def spec(self) -> CandidateSpec:
        """Return the candidates to build."""
        names = [self.collection] if self.collection else self.collections or []
        merged = len(names) < 2
        n = self.n or 2 if merged else len(names)
        roles = self._roles(names, n)
        orders = None
        if self.exchangeable is not None and len(roles) == n and not self._wrong_groups(names, roles):
            orders = orders_of(n, [[roles.index(role) for role in group] for group in self.exchangeable])
        return self._spec(names, roles, n=n, merged=merged, candidate=self.output, index=True, orders=orders)

    def _roles(self, names: list[str], n: int) -> list[str]:
        """Return the names of the constituents."""
        return self.roles or ([f"{names[0]}_{i + 1}" for i in range(n)] if len(names) == 1 else names)

    def _wrong_groups(self, names: list[str], roles: list[str]) -> list[OpProblem]:
        """Return what is wrong with `exchangeable`."""
        groups = self.exchangeable or []
        if self.exchangeable is not None and len(names) > 1:
            message = "objects of different collections cannot be exchanged"
            return [OpProblem(("exchangeable",), message, "leave `exchangeable` out")]
        found = [
            OpProblem(("exchangeable", i, k), f"there is no role `{role}`", suggest(role, roles, what="roles"))
            for i, group in enumerate(groups)
            for k, role in enumerate(group)
            if role not in roles
        ]
        listed = [role for group in groups for role in group]
        twice = next((role for role in listed if listed.count(role) > 1), None)
        if twice is not None:
            found.append(OpProblem(("exchangeable",), f"the role `{twice}` occurs twice", "name it in one group"))
        return found

    def problems(self) -> list[OpProblem]:
        """Return contradictions between the parameters."""
        found = []
        names = [self.collection] if self.collection else self.collections or []
        if (self.collection is None) == (self.collections is None):
            hint = "`collection` combines `n` different objects of one collection, `collections` one object of each"
            return [OpProblem((), "exactly one of `collection` and `collections` is needed", hint)]
        if len(set(names)) < len(names):
            hint = f"write collection: {names[0]}, n: {len(names)}"
            found.append(
                OpProblem(
                    ("collections",), "a collection occurs twice, so its objects could pair with themselves", hint
                )
            )
        if len(names) > 1 and self.n not in (None, len(names)):
            found.append(OpProblem(("n",), f"`n` is {self.n}, but there are {len(names)} collections", "leave `n` out"))
        n = len(names) if len(names) > 1 else self.n or 2
        if self.roles is not None and (len(self.roles) != n or len(set(self.roles)) < n):
            found.append(OpProblem(("roles",), f"{n} different roles are needed, one per object"))
        else:
            found += self._wrong_groups(names, self._roles(names, n))
        return found


class BuildPairs(_Common):
    """Parameters of ``hep.build_pairs``."""

    collections: list[Name] = Field(min_length=1, description="collections whose objects are merged, in this order")
    pair: PairRule = PairRule()

    def spec(self) -> CandidateSpec:
        """Return the candidates to build."""
        roles = ["lepton_1", "lepton_2"]
        return self._spec(self.collections, roles, n=2, merged=True, candidate=f"{self.output}_Z", index=False)

    def problems(self) -> list[OpProblem]:
        """Return contradictions between the parameters."""
        if len(set(self.collections)) < len(self.collections):
            return [OpProblem(("collections",), "a collection occurs twice, so its objects would pair with themselves")]
        return []


# --- the ops ----------------------------------------------------------------------------------------------


def _analyse(params: BuildCombinations | BuildPairs, schema: Schema) -> Effects:
    return EffectsAnalysis(params, schema).run()


@op("hep.build_combinations", params=BuildCombinations, analyse=_analyse, keeps_events=True)
def build_combinations(events: Events, *, params: BuildCombinations, context: Context | None = None) -> dict[str, Any]:
    """Build candidates from `n` different objects of one collection, or from one object of each collection.

    Writes ``n{output}``, ``{output}_{pt,eta,phi,mass,charge}``, ``{output}_<role>_<field>``, and the position of each
    constituent in its collection, ``{output}_<role>_index``. In expressions, ``<role>_<field>`` is a field of a
    constituent, and ``pt``, ``eta``, ``phi``, ``mass``, ``charge`` are those of the candidate. Quantities are float64.

    With `exchangeable`, the roles of a candidate differ: ``roles: [w1, w2, b]`` and ``exchangeable: [[w1, w2]]`` build
    three candidates of each three objects. In a group, the roles have the order of the objects.
    """
    return build(events, params.spec(), context)


@op("hep.build_pairs", params=BuildPairs, analyse=_analyse, keeps_events=True)
def build_pairs(events: Events, *, params: BuildPairs, context: Context | None = None) -> dict[str, Any]:
    """Build all unordered pairs of the merged objects of `collections`.

    Writes ``n{output}_Z``, ``{output}_Z_{pt,eta,phi,mass}``, ``{output}_lepton_1_<field>`` and
    ``{output}_lepton_2_<field>``. In expressions, ``lepton_1_<field>`` and ``lepton_2_<field>`` are fields of the
    constituents, and ``pt``, ``eta``, ``phi``, ``mass``, ``charge`` are those of the candidate. Quantities are float64.
    """
    return build(events, params.spec(), context)
