"""Small SVG charts for the report: they take their colours from the page's style sheet, so they fit light and dark.

Text and attributes are escaped here, whoever they came from.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from markupsafe import Markup, escape

Point = tuple[float, float]


class Drawing:
    """Collects elements of a picture `width` by `height` pixels; y points down."""

    def __init__(self, width: float, height: float, label: str, css: str = "chart") -> None:
        self.width, self.height, self._label, self._css = width, height, label, css
        self._parts: list[Markup] = []

    def add(self, tag: str, content: object = "", title: str = "", **attributes: Any) -> None:
        """An element; `_` in attribute names stands for `-`, a trailing one is dropped (class_)."""
        self._parts.append(element(tag, content, title, **attributes))

    def line(self, x1: float, y1: float, x2: float, y2: float, css: str, **attributes: Any) -> None:
        self.add("line", x1=_n(x1), y1=_n(y1), x2=_n(x2), y2=_n(y2), class_=css, **attributes)

    def path(self, points: Sequence[Point], css: str) -> None:
        if len(points) > 1:
            self.add("path", d="M" + "L".join(f"{_n(x)} {_n(y)}" for x, y in points), class_=css)

    def steps(self, points: Sequence[Point], css: str) -> None:
        """A line that keeps each value until the next point."""
        kept: list[Point] = []
        for x, y in points:
            if kept:
                kept.append((x, kept[-1][1]))
            kept.append((x, y))
        self.path(kept, css)

    def area(self, upper: Sequence[Point], lower: Sequence[Point], css: str) -> None:
        points = [*upper, *reversed(lower)]
        if len(points) > 2:
            self.add("path", d="M" + "L".join(f"{_n(x)} {_n(y)}" for x, y in points) + "Z", class_=css)

    def rect(self, x: float, y: float, width: float, height: float, css: str, title: str = "", **more: Any) -> None:
        self.add("rect", "", title, x=_n(x), y=_n(y), width=_n(max(0.0, width)), height=_n(height), class_=css, **more)

    def dot(self, x: float, y: float, radius: float, css: str, title: str = "", href: str = "") -> None:
        shape = element("circle", "", title, cx=_n(x), cy=_n(y), r=_n(radius), class_=css)
        self._parts.append(element("a", shape, href=href) if href else shape)

    def text(self, x: float, y: float, words: object, css: str = "", anchor: str = "start", **more: Any) -> None:
        self.add("text", words, x=_n(x), y=_n(y), class_=css, text_anchor=anchor, **more)

    def link(self, href: str, other: Drawing) -> None:
        """The elements of `other`, clickable."""
        self._parts.append(element("a", Markup("").join(other._parts), href=href))

    def markup(self) -> Markup:
        box = f"0 0 {_n(self.width)} {_n(self.height)}"
        return element(
            "svg",
            Markup("").join(self._parts),
            viewBox=box,
            width=_n(self.width),
            height=_n(self.height),
            class_=self._css,
            role="img",
            aria_label=self._label,
        )


def element(tag: str, content: object = "", title: str = "", **attributes: Any) -> Markup:
    """One element with everything escaped that is not Markup already."""
    named = Markup("").join(
        Markup(' {}="{}"').format(Markup(name.rstrip("_").replace("_", "-") if name != "viewBox" else name), value)
        for name, value in attributes.items()
        if value not in ("", None)
    )
    inside = escape(content)
    if title:
        inside = Markup("<title>{}</title>").format(title) + inside
    return Markup("<{0}{1}>{2}</{0}>").format(Markup(tag), named, inside)


class Axis:
    """Maps values of [low, high] to pixels of [begin, end], linearly or by their logarithm."""

    def __init__(self, low: float, high: float, begin: float, end: float, log: bool = False) -> None:
        if high <= low:
            high = low * 10 if log else low + 1
        self.low, self.high, self.begin, self.end, self.log = low, high, begin, end, log

    def __call__(self, value: float) -> float:
        if self.log:
            share = math.log(max(value, self.low) / self.low) / math.log(self.high / self.low)
        else:
            share = (value - self.low) / (self.high - self.low)
        return self.begin + share * (self.end - self.begin)

    def ticks(self, wanted: int = 5, whole: bool = False) -> list[float]:
        """Round values within the axis: powers of ten on a logarithmic one."""
        if self.log:
            powers = range(math.ceil(math.log10(self.low) - 1e-9), math.floor(math.log10(self.high) + 1e-9) + 1)
            return [10.0**power for power in powers]
        rough = (self.high - self.low) / max(1, wanted)
        size = 10 ** math.floor(math.log10(rough))
        step = next(size * factor for factor in (1, 2, 2.5, 5, 10) if size * factor >= rough * 0.999)
        if whole:
            step = max(1.0, round(step))
        first = math.ceil(self.low / step - 1e-9)
        return [index * step for index in range(first, math.floor(self.high / step + 1e-9) + 1)]


class Plot:
    """A drawing with two axes around an area."""

    def __init__(
        self,
        width: float,
        height: float,
        label: str,
        x: tuple[float, float],
        y: tuple[float, float],
        *,
        left: float = 46,
        right: float = 12,
        top: float = 12,
        bottom: float = 34,
        x_log: bool = False,
        css: str = "chart",
    ) -> None:
        self.drawing = Drawing(width, height, label, css)
        self.left, self.right, self.top, self.bottom = left, width - right, top, height - bottom
        self.x = Axis(*x, self.left, self.right, x_log)
        self.y = Axis(*y, self.bottom, self.top)

    def grid(
        self,
        x_title: str = "",
        y_title: str = "",
        x_form: Callable[[float], str] = lambda value: f"{value:g}",
        y_form: Callable[[float], str] = lambda value: f"{value:g}",
        whole_x: bool = False,
        y_ticks: Iterable[float] | None = None,
        x_ticks: int = 6,
    ) -> None:
        """Grid lines with their values, and the axes' names."""
        draw = self.drawing
        for value in self.y.ticks(4) if y_ticks is None else y_ticks:
            draw.line(self.left, self.y(value), self.right, self.y(value), "grid")
            draw.text(self.left - 7, self.y(value) + 3.5, y_form(value), "tick", "end")
        for value in self.x.ticks(x_ticks, whole_x):
            draw.line(self.x(value), self.bottom, self.x(value), self.bottom + 4, "axis")
            draw.text(self.x(value), self.bottom + 16, x_form(value), "tick", "middle")
        draw.line(self.left, self.bottom, self.right, self.bottom, "axis")
        if x_title:
            draw.text((self.left + self.right) / 2, self.bottom + 31, x_title, "label", "middle")
        if y_title:
            middle = (self.top + self.bottom) / 2
            draw.text(0, 0, y_title, "label", "middle", transform=f"translate(11 {_n(middle)}) rotate(-90)")

    def points(self, pairs: Iterable[Point]) -> list[Point]:
        return [(self.x(x), self.y(y)) for x, y in pairs]

    def markup(self) -> Markup:
        return self.drawing.markup()


def _n(value: float) -> str:
    """A coordinate with one decimal, short."""
    return f"{value:.1f}".removesuffix(".0")


def seconds(value: float) -> str:
    """3 ms, 0.25 s, 12 s, 4 min 10 s, 2 h 5 min."""
    if 0 < value < 0.0995:
        return f"{value * 1000:.3g} ms"
    if value < 99.5:
        return f"{value:.3g} s"
    if value < 5970:
        return f"{int(value // 60)} min {int(value % 60)} s"
    return f"{int(value // 3600)} h {int(value % 3600 // 60)} min"
