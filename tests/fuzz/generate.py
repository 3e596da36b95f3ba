"""Random expressions that mean something most of the time, over random events."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Any

from fuzz.columns import DEPTHS, DTYPES, FORBIDDEN, INTEGERS, Make
from fuzz.functions import ASKS, ONE, REDUCTIONS, STAYS
from fuzz.tree import Tree, fields_of
from fuzz.values import Field

INTEGER_CONSTANTS = (0, 1, 2, -1, 3, 7, 127, 128, 200, 255, 256, 300, -129, 65536, 2**31, 2**53 + 1, 2**63 - 1)
FLOAT_CONSTANTS = (0.0, 0.5, 1.0, -1.5, 2.5, 0.1, 1e39, 1e-50, 16777217.0, 1e19)


@dataclass(frozen=True)
class Case:
    """An expression and the events it is tried on."""

    tree: Tree
    fields: dict[str, Field]
    events: int


def case(random: Random) -> Case:
    """Return a random case."""
    events = random.choice([0, 1, 2, 3, 5, 8])
    trees = Trees(random)
    tree = trees.any(random.choice([1, 2, 2, 3, 4]))
    make = Make(random, events)
    fields = {name: make.field(*spec) for name, spec in trees.used.items() if name in fields_of(tree)}
    return Case(tree, fields, events)


class Trees:
    """Makes trees; `used` are the fields that they name."""

    def __init__(self, random: Random) -> None:
        self.random = random
        self.used: dict[str, tuple[str, str]] = {}
        self.masks: dict[str, Tree] = {}

    def any(self, depth: int) -> Tree:
        if self.random.random() < 0.12:
            reshaped = self.reshaped(depth - 1)
            return self.random.choice(
                [reshaped, ("binary", "-", reshaped, self.constant()), ("call", "sum", (reshaped,), ())]
            )
        structure = self.random.choice("EEEOOJJJJKKLDDRS" if depth > 1 else "EOJKLDR")
        if structure == "S":
            return self.text()
        return self.make(structure, depth)

    def make(self, structure: str, depth: int) -> Tree:
        """Return a tree whose value has the lists of `structure` (or is one value per event)."""
        if depth <= 0:
            return self.leaf(structure)
        below = depth - 1
        if structure in "EO" and self.random.random() < 0.45:
            return self.reduced(below)
        kinds: list[Any] = [
            self.binary,
            self.binary,
            self.compared,
            self.unary,
            self.one,
            self.two,
            self.chosen,
            self.logic,
            self.filled,
            self.drawn,
        ]
        if DEPTHS[structure[-1]] == 1:
            kinds += [self.listed, self.listed]
        return self.random.choice(kinds)(structure, below)

    # --- leaves -------------------------------------------------------------------------------------------

    def leaf(self, structure: str) -> Tree:
        if structure.startswith("~"):
            return ("index", self.leaf(structure[1]), self.mask(structure))
        dtype = self.random.choice([d for d in DTYPES if structure not in FORBIDDEN.get(d, ())])
        name = f"{structure}_{dtype}" if structure != "E" else dtype
        self.used[name] = (structure, dtype)
        return ("name", name)

    def constant(self, floats: bool = True) -> Tree:
        if self.random.random() < 0.03:
            return ("name", self.random.choice(["pi", "e", "inf", "nan"]))
        if floats and self.random.random() < 0.4:
            return ("const", self.random.choice(FLOAT_CONSTANTS))
        if self.random.random() < 0.06:
            return self.random.choice([("const", True), ("binary", "*", ("const", 3), ("const", 5)),
                                       ("binary", "**", ("const", 10), ("const", 2)), ("const", 10**19)])  # fmt: skip
        return ("const", self.random.choice(INTEGER_CONSTANTS[: self.random.choice([5, 17])]))

    def mask(self, structure: str) -> Tree:
        if structure not in self.masks:
            self.masks[structure] = self.compared(structure[1], 0)
        return self.masks[structure]

    def other(self, structure: str, depth: int) -> Tree:
        """Return what goes with lists of `structure`: the same, a value per event, or a constant."""
        roll = self.random.random()
        if roll < 0.3:
            return self.constant()
        if roll < 0.55:
            return self.make(self.random.choice("EEO"), depth)
        if structure == "D" and roll < 0.65:
            return ("call", self.random.choice(REDUCTIONS[:10]), (self.leaf("D"),), ())
        return self.make(structure, depth)

    def text(self) -> Tree:
        for name in ("S_a", "S_b"):
            self.used[name] = ("S", "text")
        right = self.random.choice([("name", "S_b"), ("const", "ee"), ("const", "x"), ("name", "S_a")])
        compared = ("compare", (self.random.choice(["==", "!=", "==", "<"]),), (("name", "S_a"), right))
        return self.random.choice([compared, ("unary", "not", compared), self.wrong_text()])

    def wrong_text(self) -> Tree:
        return self.random.choice([
            ("binary", "+", ("name", "S_a"), ("const", 1)), ("call", "sqrt", (("name", "S_a"),), ()),
            ("compare", ("==",), (("name", "S_a"), ("const", 1))), ("unary", "-", ("name", "S_a")),
        ])  # fmt: skip

    # --- one value, or one per object ---------------------------------------------------------------------

    def shuffled(self, a: Tree, b: Tree) -> tuple[Tree, Tree]:
        return (a, b) if self.random.random() < 0.6 else (b, a)

    def binary(self, structure: str, depth: int) -> Tree:
        a, b = self.shuffled(self.make(structure, depth), self.other(structure, depth))
        operator = self.random.choice(["+", "-", "*", "/", "//", "%", "**", "+", "-", "*", "&", "|", "^"])
        return ("binary", operator, a, b)

    def compared(self, structure: str, depth: int) -> Tree:
        a, b = self.shuffled(self.make(structure, depth), self.other(structure, depth))
        operators = ["<", "<=", ">", ">=", "==", "!="]
        if self.random.random() < 0.1:
            return ("compare", (self.random.choice(operators), "<"), (a, b, self.other(structure, 0)))
        return ("compare", (self.random.choice(operators),), (a, b))

    def logic(self, structure: str, depth: int) -> Tree:
        a, b = self.shuffled(self.compared(structure, depth), self.make(self.random.choice([structure, "E"]), depth))
        return ("logic", self.random.choice(["and", "or"]), a, b)

    def unary(self, structure: str, depth: int) -> Tree:
        return ("unary", self.random.choice(["-", "-", "+", "~", "not"]), self.make(structure, depth))

    def one(self, structure: str, depth: int) -> Tree:
        names = [*ONE, *STAYS, *STAYS, *ASKS, "is_none", "is_none"]
        return ("call", self.random.choice(names), (self.make(structure, depth),), ())

    def two(self, structure: str, depth: int) -> Tree:
        a, b = self.shuffled(self.make(structure, depth), self.other(structure, depth))
        name = self.random.choice(
            ["hypot", "arctan2", "minimum", "maximum", "minimum", "maximum", "delta_phi", "delta_r"]
        )
        if name == "delta_r":
            return ("call", name, (a, b, self.other(structure, 0), self.other(structure, 0)), ())
        return ("call", name, (a, b), ())

    def chosen(self, structure: str, depth: int) -> Tree:
        condition = self.random.choice([self.compared, self.make])(self.random.choice([structure, "E", "O"]), depth)
        a, b = self.shuffled(self.make(structure, depth), self.other(structure, depth))
        return ("call", "where", (condition, a, b), ())

    def filled(self, structure: str, depth: int) -> Tree:
        if structure in "EO":
            x = self.random.choice([lambda: self.leaf("O"), lambda: self.reduced(depth)])()
        elif self.random.random() < 0.3 and structure == "J":  # missing as a value per event is
            x = ("binary", self.random.choice("+-*"), self.make(structure, depth), self.make("O", 0))
        else:
            x = self.make(structure, depth)
        return ("call", "fill_none", (x, self.other(structure, 0)), ())

    def drawn(self, structure: str, depth: int) -> Tree:
        """Return random numbers, per event or per object."""
        name = self.random.choice(["random", "random_normal"])
        objects = () if structure in "EO" else (self.make(structure, depth),)
        keys = [self.identity() for _ in range(3)]
        return ("call", name, (("const", self.random.choice([0, 1, 7, 2**32 - 1])), *keys, *objects), ())

    def identity(self) -> Tree:
        """Return a number that identifies events: mostly an integer."""
        roll = self.random.random()
        if roll < 0.3:
            return ("const", self.random.choice(INTEGER_CONSTANTS))
        structure = "O" if roll > 0.85 else "E"
        dtype = self.random.choice([*INTEGERS, "bool", "float32"] if roll > 0.9 else INTEGERS)
        name = f"{structure}_{dtype}" if structure != "E" else dtype
        self.used[name] = (structure, dtype)
        return ("name", name)

    # --- lists --------------------------------------------------------------------------------------------

    def reduced(self, depth: int) -> Tree:
        """Return one value per event made of a list."""
        structure = self.random.choice(["J", "J", "M", "K", "K", "L", "R", "D", "~J", "~K"])
        values = self.make(structure, depth)
        if structure == "D":
            inner = ("call", self.random.choice(REDUCTIONS), (values,), ())
            return inner if inner[1] == "num" else ("call", self.random.choice(REDUCTIONS), (inner,), ())
        roll = self.random.random()
        if roll < 0.6:
            return ("call", self.random.choice(REDUCTIONS), (values,), ())
        if roll < 0.7:
            picked = ("call", self.random.choice(["argmax", "argmin"]), (self.make(structure, 0),), ())
            return ("index", values, picked)
        default = () if roll < 0.85 else (self.random.choice([self.constant(), self.leaf("E")]),)
        if self.random.random() < 0.5:
            return ("call", self.random.choice(["leading", "first", "subleading"]), (values, *default), ())
        place = self.random.choice([("const", self.random.randint(-3, 3)), self.leaf("E")])
        return ("call", "nth", (values, place, *default), ())

    def listed(self, structure: str, depth: int) -> Tree:
        """Return positions in lists."""
        values = self.make(structure, depth)
        ascending = (("ascending", ("const", self.random.random() < 0.5)),) if self.random.random() < 0.5 else ()
        order = ("call", "argsort", (values,), ascending)
        return self.random.choice([order, ("call", "local_index", (values,), ())])

    def reshaped(self, depth: int) -> Tree:
        """Return lists of other objects, which go with none of the fields."""
        structure = self.random.choice("JKLMR")
        values = self.make(structure, depth)
        ascending = self.random.choice([(), (("ascending", ("const", self.random.random() < 0.5)),)])
        order = ("call", "argsort", (self.make(structure, 0),), ascending)
        clip = (("clip", ("const", True)),) if self.random.random() < 0.3 else ()
        return self.random.choice([
            ("call", "pad_none", (values, ("const", self.random.randint(0, 4))), clip),
            ("call", "take", (values, ("const", self.random.randint(-2, 4))), ()),
            ("call", "take", (values, order), ()),
            ("call", "sort", (values,), ascending),
            ("index", values, order),
            ("index", values, self.compared(structure, 0)),
            ("call", "nth", (self.make("D", depth), ("const", self.random.randint(-2, 2))), ()),
        ])  # fmt: skip
