"""Catalogue of everything that can lie on the table: shapes, grasp points, and how a person names it.

Shapes are MJCF geoms in the object's frame. The origin of a graspable object is the point a gripper takes it at;
the origin of a receptacle is the centre of its underside. Colours differ enough to tell the objects apart in a small
image, and every grasp width fits the gripper's 56 mm opening with room to spare.
"""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Thing:
    """One entry of the catalogue.

    Attributes:
        name: name of its body.
        phrase: noun phrase of the demonstrations ("the pink toy").
        geoms: MJCF elements in the object's frame.
        graspable: a free body; receptacles stand still.
        rest_height: height of the origin above the surface it stands on [m].
        grasp_height: least height of the grip point above the table [m].
        radius: of the circle that its footprint fills, for layouts [m].
        inner: half extents of the region that counts as on / in it [m]; equal ones mean a disc.
        floor: height of the surface that things lie on [m].
        rim: height of its wall [m], 0 for a flat receptacle.
        named: whether demonstrations name it.
    """

    name: str
    phrase: str
    geoms: tuple[str, ...]
    graspable: bool = True
    rest_height: float = 0.0
    grasp_height: float = 0.017
    radius: float = 0.045
    inner: tuple[float, float] = (0.0, 0.0)
    floor: float = 0.0
    rim: float = 0.0
    named: bool = True

    @property
    def preposition(self) -> str:
        return "in" if self.rim else "on"


def _geom(kind: str, size: str, rgba: str, pos: str = "0 0 0", extra: str = "") -> str:
    return f'<geom type="{kind}" size="{size}" rgba="{rgba} 1" pos="{pos}" {extra}/>'


def _capsule(ends: str, radius: float, rgba: str, extra: str = "") -> str:
    return f'<geom type="capsule" fromto="{ends}" size="{radius}" rgba="{rgba} 1" {extra}/>'


PAINT = 'class="paint"'
"""Marks a geom that is seen only."""


def _vessel(inner: float, height: float, flare: float, rgba: str, inside: str, sides: int = 12) -> tuple[str, ...]:
    """A round vessel: a floor and a ring of boxes, leaning outwards by `flare` [rad]."""
    thick, floor = 0.0025, 0.002
    middle = inner + thick + 0.5 * height * math.tan(flare)
    width = (middle + 0.5 * height * math.tan(flare) + thick) * math.tan(math.pi / sides)
    walls = []
    for k in range(sides):
        angle = 2 * math.pi * k / sides
        place = f"{middle * math.cos(angle):.5f} {middle * math.sin(angle):.5f} {height / 2:.5f}"
        walls.append(
            _geom("box", f"{thick} {width:.5f} {height / 2:.5f}", rgba, place, f'euler="0 {flare:.4f} {angle:.5f}"')
        )
    return (
        _geom("cylinder", f"{inner + thick:.4f} {floor}", rgba, f"0 0 {floor}"),
        _geom("cylinder", f"{inner - 0.001:.4f} .0002", inside, f"0 0 {2 * floor + 0.0002:.4f}", PAINT),
        *walls,
    )


def _pot(rgba: str, inside: str) -> tuple[str, ...]:
    handles = tuple(_geom("box", ".007 .016 .004", ".15 .15 .16", f"{x} 0 .028") for x in (-0.058, 0.058))
    return (*_vessel(0.048, 0.035, 0.0, rgba, inside), *handles)


def _toy(rgba: str, light: str, ears: tuple[str, ...]) -> tuple[str, ...]:
    return (
        _geom("cylinder", ".016 .004", rgba, "0 0 -.019"),
        _geom("ellipsoid", ".018 .0185 .021", rgba, "0 0 -.004"),
        _geom("ellipsoid", ".007 .011 .013", light, ".014 0 -.004", PAINT),
        _geom("sphere", ".0155", rgba, "0 0 .022"),
        _geom("ellipsoid", ".006 .008 .006", light, ".013 0 .019", PAINT),
        _geom("sphere", ".0022", ".05 .05 .05", ".0135 -.006 .027", PAINT),
        _geom("sphere", ".0022", ".05 .05 .05", ".0135 .006 .027", PAINT),
        _geom("sphere", ".0075", rgba, ".014 .011 -.016", PAINT),
        _geom("sphere", ".0075", rgba, ".014 -.011 -.016", PAINT),
        *ears,
    )


_STEEL, _WOOD, _PINK, _BLUE = ".80 .82 .86", ".58 .36 .16", ".96 .50 .66", ".22 .45 .88"

CATALOGUE: dict[str, Thing] = {
    thing.name: thing
    for thing in (
        Thing(
            "spoon",
            "the spoon",
            (
                _capsule("-.045 0 0 .025 0 0", 0.011, _STEEL),
                _geom("ellipsoid", ".023 .019 .010", _STEEL, ".045 0 0"),
                _geom("ellipsoid", ".016 .013 .004", ".60 .62 .66", ".045 0 .007", PAINT),
            ),
            rest_height=0.011,
            radius=0.05,
        ),
        Thing(
            "mushroom",
            "the mushroom",
            (
                _geom("cylinder", ".0135 .016", ".95 .91 .82"),
                _geom("ellipsoid", ".020 .020 .013", ".78 .33 .20", "0 0 .014"),
                _geom("sphere", ".004", ".97 .93 .85", ".008 .004 .0235", PAINT),
                _geom("sphere", ".004", ".97 .93 .85", "-.007 .007 .0235", PAINT),
                _geom("sphere", ".004", ".97 .93 .85", "-.004 -.010 .0225", PAINT),
            ),
            rest_height=0.016,
        ),
        Thing(
            "banana",
            "the banana",
            (
                _capsule("-.038 .010 0 -.015 .001 0", 0.012, ".98 .86 .12"),
                _capsule("-.015 .001 0 .015 .001 0", 0.0135, ".98 .86 .12"),
                _capsule(".015 .001 0 .038 .010 0", 0.012, ".98 .86 .12"),
                _capsule("-.044 .013 0 -.049 .016 0", 0.006, ".42 .30 .10", PAINT),
                _capsule("-.0001 .001 .0135 .012 .001 .0135", 0.0012, ".42 .30 .10", PAINT),
            ),
            rest_height=0.0135,
        ),
        Thing(
            "carrot",
            "the carrot",
            (
                _capsule("-.012 0 0 .024 0 0", 0.0135, ".98 .48 .08"),
                _capsule("-.038 0 -.002 -.012 0 0", 0.0095, ".98 .48 .08"),
                _capsule("-.050 0 -.004 -.030 0 -.003", 0.006, ".98 .48 .08", PAINT),
                _capsule("0.036 0 0 .056 .010 .004", 0.005, ".20 .62 .18", PAINT),
                _capsule("0.036 0 0 .058 -.008 .003", 0.005, ".20 .62 .18", PAINT),
            ),
            rest_height=0.0135,
        ),
        Thing(
            "block",
            "the block",
            (
                _geom("box", ".016 .016 .016", ".52 .24 .74"),
                _geom("box", ".010 .010 .0004", ".74 .56 .90", "0 0 .016", PAINT),
            ),
            rest_height=0.016,
            radius=0.042,
        ),
        Thing(
            "sushi",
            "the sushi",
            (
                _geom("box", ".023 .0135 .011", ".97 .97 .95"),
                _geom("box", ".0235 .014 .003", ".98 .52 .36", "0 0 .012", PAINT),
                _geom("box", ".006 .0140 .0140", ".06 .13 .09", "0 0 .0015", PAINT),
            ),
            rest_height=0.011,
            radius=0.042,
        ),
        Thing(
            "hammer",
            "the hammer",
            (
                _capsule("-.050 0 0 .040 0 0", 0.011, _WOOD),
                _geom("box", ".010 .028 .011", ".30 .31 .35", ".048 0 0"),
                _geom("box", ".0105 .006 .0115", ".45 .46 .50", ".048 .023 0", PAINT),
            ),
            rest_height=0.011,
            radius=0.05,
            named=False,
        ),
        Thing(
            "toy_pink",
            "the pink toy",
            _toy(
                _PINK,
                ".99 .84 .88",
                (
                    _geom("sphere", ".0065", _PINK, "0 .012 .035", PAINT),
                    _geom("sphere", ".0065", _PINK, "0 -.012 .035", PAINT),
                ),
            ),
            rest_height=0.023,
            grasp_height=0.024,
            radius=0.045,
        ),
        Thing(
            "toy_blue",
            "the blue toy",
            _toy(
                _BLUE,
                ".80 .88 .98",
                (
                    _geom("ellipsoid", ".004 .006 .013", _BLUE, ".002 .008 .044", PAINT),
                    _geom("ellipsoid", ".004 .006 .013", _BLUE, ".002 -.008 .044", PAINT),
                ),
            ),
            rest_height=0.023,
            grasp_height=0.024,
            radius=0.045,
        ),
        Thing(
            "lid",
            "the pot lid",
            (
                _geom("cylinder", ".051 .002", ".36 .40 .46", "0 0 -.0165", 'mass=".03"'),
                _geom("cylinder", ".046 .001", ".52 .57 .64", "0 0 -.0142", PAINT),
                _geom("box", ".011 .012 .012", ".10 .10 .11", "0 0 -.003"),
                _geom("ellipsoid", ".014 .014 .007", ".10 .10 .11", "0 0 .009", PAINT),
            ),
            rest_height=0.0185,
            radius=0.055,
        ),
        Thing(
            "plate",
            "the plate",
            (
                _geom("cylinder", ".065 .003", ".96 .96 .98", "0 0 .003"),
                _geom("cylinder", ".058 .0004", ".28 .42 .78", "0 0 .0061", PAINT),
                _geom("cylinder", ".051 .0004", ".96 .96 .98", "0 0 .0064", PAINT),
            ),
            graspable=False,
            radius=0.067,
            inner=(0.063, 0.063),
            floor=0.006,
        ),
        Thing(
            "towel",
            "the towel",
            (
                _geom("box", ".060 .060 .0015", ".18 .66 .66", "0 0 .0015"),
                _geom("box", ".005 .060 .0004", ".90 .96 .95", "-.044 0 .0031", PAINT),
                _geom("box", ".005 .060 .0004", ".90 .96 .95", ".044 0 .0031", PAINT),
            ),
            graspable=False,
            radius=0.068,
            inner=(0.060, 0.0599),
            floor=0.003,
        ),
        Thing(
            "pot_grey",
            "the grey pot",
            _pot(".55 .58 .62", ".38 .40 .44"),
            graspable=False,
            radius=0.066,
            inner=(0.048, 0.048),
            floor=0.004,
            rim=0.035,
        ),
        Thing(
            "pot_red",
            "the red pot",
            _pot(".80 .14 .12", ".60 .10 .09"),
            graspable=False,
            radius=0.066,
            inner=(0.048, 0.048),
            floor=0.004,
            rim=0.035,
        ),
        Thing(
            "bowl_large",
            "the large bowl",
            _vessel(0.046, 0.032, 0.35, ".97 .88 .66", ".90 .76 .48"),
            graspable=False,
            radius=0.066,
            inner=(0.055, 0.055),
            floor=0.004,
            rim=0.032,
        ),
        Thing(
            "bowl_small",
            "the small bowl",
            _vessel(0.032, 0.028, 0.30, ".52 .78 .34", ".38 .62 .24"),
            graspable=False,
            radius=0.05,
            inner=(0.038, 0.038),
            floor=0.004,
            rim=0.028,
        ),
    )
}

GRASPABLE = tuple(name for name, thing in CATALOGUE.items() if thing.graspable)
RECEPTACLES = tuple(name for name, thing in CATALOGUE.items() if not thing.graspable)
