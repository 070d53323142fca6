"""The report in a browser: from a file, without a network, light and dark; nothing that was said in a run can run."""

import re
import shutil
from importlib import resources

import pytest
from bag_fixture import Tape
from playwright.sync_api import expect, sync_playwright

from sarl_interfaces import msg
from sarl_ros.analysis.analyze import analyze
from sarl_ros.core.types import Ended, EpisodeState, Verdict

CHROMIUM = shutil.which("chromium")
needs_browser = pytest.mark.skipif(CHROMIUM is None, reason="no browser: apt-get install -y chromium")
CONTINUE, SUCCESS, TIMEOUT, ABORTED = Verdict.CONTINUE, Verdict.SUCCESS, Verdict.TIMEOUT, Verdict.ABORTED
ATTACKS = [
    "<script>window.ran = true</script>",
    '"><img src=x onerror="window.ran = true">',
    "</title></style></script></svg><script>window.ran = true</script>",
    "{{ 7 * 7 }} javascript:window.ran=true",
]


@pytest.fixture(scope="module")
def page_file(tmp_path_factory):
    """A run of 14 episodes, so that the strips are folded; the last one speaks ill."""
    folder = tmp_path_factory.mktemp("run")
    tape = Tape("run")
    for episode in range(1, 14):
        tape.episode(episode, (CONTINUE, SUCCESS) if episode % 3 else (CONTINUE, CONTINUE, TIMEOUT))
    tape.state(14, EpisodeState.RUNNING)
    tape.result(14, 0, Ended.START)
    tape.prompt(14, 1, ATTACKS)
    tape.result(14, 1, Ended.FAULT)
    tape.told[-1][2].reason = ATTACKS[1]
    tape.verdict(14, 1, ABORTED)
    tape.tell("/sarl/node_status", msg.NodeStatus(node=ATTACKS[2], incarnation="a", faults=ATTACKS))
    tape.state(14, EpisodeState.ABORTED, ATTACKS[0])
    tape.write(folder / "bags")
    analyze([folder], folder / "report")
    return folder / "report" / "index.html"


@pytest.fixture(scope="module")
def browser():
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield running
        running.close()


@pytest.fixture(params=["light", "dark"])
def page(request, browser, page_file):
    shown = browser.new_page(color_scheme=request.param, viewport={"width": 1280, "height": 900})
    shown.asked, shown.errors = [], []
    shown.on("request", lambda request: shown.asked.append(request.url))
    shown.on("pageerror", lambda error: shown.errors.append(str(error)))
    shown.goto(page_file.as_uri())
    yield shown
    assert shown.errors == []
    assert [url for url in shown.asked if not url.startswith("data:")] == [page_file.as_uri()]
    assert shown.evaluate("window.ran") is None
    shown.close()


def visible_rows(page):
    return [int(text) for text in page.locator("#overview tbody tr:visible td:first-child").all_inner_texts()]


@needs_browser
def test_words_from_a_run_are_shown_and_not_run(page):
    page.locator("#unfold").click()
    text = page.locator("#episode-14").inner_text()
    assert ATTACKS[0] in text
    assert ATTACKS[1] in text
    assert page.locator("script").count() == 1


@needs_browser
def test_the_overview_sorts_and_filters(page):
    assert visible_rows(page) == list(range(1, 15))
    decisions = page.locator("#overview th", has_text="decisions")
    decisions.click()
    decisions.click()
    assert visible_rows(page)[:4] == [3, 6, 9, 12]
    page.locator("#filter").fill("timeout")
    assert sorted(visible_rows(page)) == [3, 6, 9, 12]
    assert page.locator("details.episode:visible").count() == 4
    assert page.locator("#shown").inner_text() == "4 of 14"
    page.locator("#filter").fill("")
    page.locator(".toggle", has_text="success").click()
    assert sorted(visible_rows(page)) == [3, 6, 9, 12, 14]


@needs_browser
def test_a_link_to_an_episode_opens_its_film_strip(page):
    episode = page.locator("#episode-6")
    assert not episode.locator(".strip").is_visible()
    page.locator("#failures a", has_text=re.compile("^6$")).first.click()
    expect(episode.locator(".strip")).to_be_visible()  # opens on hashchange, which comes after the click
    frame = episode.locator(".strip img").first
    frame.scroll_into_view_if_needed()
    page.wait_for_function("image => image.complete && image.naturalWidth > 0", arg=frame.element_handle())


@needs_browser
def test_no_part_of_the_page_is_wider_than_a_phone(page):
    page.set_viewport_size({"width": 390, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") == 390


def luminance(colour):
    channels = (int(colour[index : index + 2], 16) / 255 for index in (1, 3, 5))
    red, green, blue = (
        channel / 12.92 if channel <= 0.04045 else ((channel + 0.055) / 1.055) ** 2.4 for channel in channels
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one, other):
    bright, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (bright + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("scheme", [0, 1])
def test_words_stand_out_from_what_is_behind_them(scheme):
    """By WCAG 2: 4.5 for text, 3 for what is drawn."""
    css = resources.files("sarl_ros.analysis").joinpath("template/report.css").read_text()
    colours = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", re.findall(r":root \{(.*?)\}", css, re.S)[scheme]))
    for text in ("ink", "soft", "accent"):
        for behind in ("card", "page", "tint"):
            assert contrast(colours[text], colours[behind]) >= 4.5, (text, behind)
    assert contrast(colours["ink"], colours["warn-bg"]) >= 4.5
    for badge in ("success", "failure", "aborted", "open", "subgoal", "held"):
        assert contrast(colours["card"], colours[badge]) >= 4.5, badge
    assert contrast(colours["on-amber"], colours["timeout"]) >= 4.5
    for drawn in ("success", "failure", "held", "subgoal", "accent", "aborted"):
        assert contrast(colours[drawn], colours["card"]) >= 3, drawn
