"""Small parts that the page's panels are made of. What a message says is only ever text, never HTML."""

from __future__ import annotations

from nicegui import ui
from nicegui.element import Element


def box(classes: str, tag: str = "div", **attributes: str) -> Element:
    """An element of the page's own style sheet; attribute names take _ for -."""
    element = ui.element(tag).classes(classes)
    for name, value in attributes.items():
        attribute(element, name.replace("_", "-"), value)
    return element


def text(classes: str, value: str = "") -> ui.label:
    return ui.label(value).classes(classes)


def attribute(element: Element, name: str, value: str) -> None:
    """Set an attribute; sends nothing when it is that already."""
    if element.props.get(name) != value:
        element.props[name] = value


def mark(element: Element, name: str, on: bool) -> None:
    """Give or take a class; sends nothing when nothing changes."""
    if (name in element.classes) != on:
        element.classes(**{"add" if on else "remove": name})


def variable(element: Element, name: str, value: float | str) -> None:
    """Set a CSS variable; sends nothing when it is that already."""
    shown = value if isinstance(value, str) else f"{value:.2f}"
    if element.style.get(name) != shown:
        element.style[name] = shown


def panel(title: str, classes: str = "") -> Element:
    """A titled section; use it with `with`."""
    section = box(f"panel {classes}", "section", aria_label=title)
    with section:
        text("caption", title)
    return section


def number(value: float | None, digits: int = 2, sign: bool = False) -> str:
    """A number with a real minus sign; a dash where there is none."""
    if value is None:
        return "–"
    shown = f"{value:+.{digits}f}" if sign else f"{value:.{digits}f}"
    return shown.replace("-", "−")


def share(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.0f} %"
