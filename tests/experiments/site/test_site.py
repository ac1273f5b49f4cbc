"""The pages say what the published runs say, need nothing from outside, and their plots hold the runs' figures."""

import dataclasses
import json
import re
import shutil
import subprocess
from html.parser import HTMLParser

import pytest

from experiments.experiment import Scale
from experiments.published.file import path_of, read_published, write_lines
from experiments.published.line import published_run
from experiments.runs import results as results_of
from experiments.runs.results import LOSS
from experiments.site import charts, pages, write
from experiments.site.charts import Curve
from experiments.verdicts import document
from experiments.verdicts.judge import judge_all
from tests.experiments.made_up import made_up, write_run

RUNS = {"new": (2.0, 2.12, 2.05), "old": (2.3, 2.4, 2.37)}


class Page(HTMLParser):
    """A page's text, its addresses, and the elements it leaves open."""

    VOID = ("meta", "link", "br", "img", "input")

    def __init__(self, text: str):
        super().__init__()
        self.text, self.addresses, self.ids, self._open, self._silent = "", [], set(), [], 0
        self.feed(text)
        assert not self._open, f"left open: {self._open}"

    def handle_starttag(self, tag, attrs):
        self.addresses += [value for name, value in attrs if name in ("href", "src")]
        self.ids |= {value for name, value in attrs if name == "id"}
        if tag not in self.VOID:
            self._open.append(tag)

    def handle_endtag(self, tag):
        assert self._open.pop() == tag

    def handle_data(self, data):
        if self._open and self._open[-1] not in ("script", "style"):
            self.text += " ".join(data.split()) + " "


@pytest.fixture
def published(tmp_path, monkeypatch):
    """A made-up claim whose runs are published, as the only one that there is; (claim, folder of results)."""
    claim = made_up(noise_floor=None, claim="New is <better> than old.\n\nIt was stated & measured.")
    lines = []
    for arm, losses in RUNS.items():
        for seed, loss in enumerate(losses):
            folder = write_run(tmp_path / "runs", claim, arm, seed, loss, "cpu", {"diverged": 0.0})
            (folder / "environment.json").write_text('{"commit": "c0ffee", "cores": 2}', encoding="utf-8")
            monkeypatch.setattr("experiments.published.line._parameters_digest", lambda *_: None)
            lines.append(published_run(folder))
    write_lines(path_of(claim.name, "cpu", tmp_path / "results"), lines)
    monkeypatch.setattr(write, "names", lambda: (claim.name,))
    monkeypatch.setattr(write, "load", lambda name: claim)
    return claim, tmp_path / "results"


def test_a_page_says_the_verdict_the_interval_and_the_claim(published, tmp_path, monkeypatch):
    claim, root = published
    monkeypatch.setattr(write, "library", lambda: "window.vegaEmbed = () => 0;")
    index = write.write_site(tmp_path / "site", root)
    page = Page((index.parent / "made_up.html").read_text(encoding="utf-8"))
    made = pages.page(claim, [path_of(claim.name, "cpu", root)])
    (comparison,) = made.scales[0].primary
    for text in ("New is <better> than old.", "It was stated & measured.", "c0ffee", claim.source, comparison["found"]):
        assert text in page.text
    assert "1 reproduced" in page.text and "1 reproduced" in Page(index.read_text(encoding="utf-8")).text
    assert set(json.loads(made.drawn)) <= page.ids


def test_no_page_asks_for_anything_from_outside(published, tmp_path, monkeypatch):
    monkeypatch.setattr(write, "library", lambda: "window.vegaEmbed = () => 0;")
    folder = write.write_site(tmp_path / "site", published[1]).parent
    for path in folder.iterdir():
        page = Page(path.read_text(encoding="utf-8"))
        assert all(address.startswith("data:") or (folder / address).exists() for address in page.addresses), path


def test_a_band_is_students_interval_of_the_mean_at_the_places_that_all_runs_have():
    rows = charts.band_rows([Curve("a", (1, 2, 3), (1.0, 2.0, 5.0)), Curve("a", (1, 3), (3.0, 7.0))])
    assert [(row["x"], row["mean"], row["n"]) for row in rows] == [(1, 2.0, 2), (3, 6.0, 2)]
    assert rows[0]["high"] - rows[0]["low"] == pytest.approx(2 * 12.7062 * 1.0, rel=1e-4)  # t(1) of two runs, 2 apart


def test_runs_whose_points_lie_at_other_places_are_paired_point_by_point():
    rows = charts.band_rows([Curve("a", (10, 20), (1.0, 2.0)), Curve("a", (12, 24), (3.0, 6.0))])
    assert [(row["x"], row["mean"], row["n"]) for row in rows] == [(11, 2.0, 2), (22, 4.0, 2)]


def test_a_plot_of_nothing_is_left_out(published):
    claim, root = published
    results = read_published(path_of(claim.name, "cpu", root), claim)
    assert len(pages._curves(claim, results, "cpu")) == 1
    apart = [
        dataclasses.replace(r, curves={LOSS: results_of.Curve(*[tuple(range(9 * n, 10 * n + 1))] * 3)})
        for n, r in enumerate(results, 1)
    ]
    assert pages._curves(claim, apart, "cpu") == {}


def test_failed_runs_have_a_line_of_their_own():
    chart = charts.curves([Curve("a", (1, 2), (1.0, 1.0)), Curve("a", (1, 2), (9.0, 9.0), failed=True)], "x", "y")
    rows = chart["data"]["values"]
    assert [(row["runs"], row["mean"]) for row in rows] == [("finished", 1.0)] * 2 + [("failed", 9.0)] * 2


def test_a_file_of_pilots_alone_is_left_out_of_the_page_and_of_results(published, monkeypatch):
    claim, root = published
    later = dataclasses.replace(claim, scales={"cpu": Scale({"model.n_layer": 2}, seeds=(7, 8))})
    monkeypatch.setattr(document.experiments, "load", lambda name: later)
    monkeypatch.setattr(document.experiments, "names", lambda: (claim.name,))
    (found,) = document.published(root)
    assert found.reports == () and pages.page(later, [path_of(claim.name, "cpu", root)]).scales == []
    monkeypatch.setattr(document.experiments, "load", lambda name: claim)
    (found,) = document.published(root)
    assert len(found.reports) == 1


def test_the_plots_compile_to_svg_that_holds_the_figures(published):
    """Vega-Lite's own compiler reads the specifications: a misspelt field would leave a mark without its place."""
    convert = pytest.importorskip("vl_convert", reason="vl-convert-python is in the extra site")
    claim, root = published
    made = pages.page(claim, [path_of(claim.name, "cpu", root)])
    drawn = json.loads(made.drawn)
    assert len(drawn) == 2
    for place, chart in drawn.items():
        svg = convert.vegalite_to_svg({**chart, "width": 600}, vl_version=write.VEGA_LITE)
        assert "NaN" not in svg and "undefined" not in svg, place
        labels = re.findall(r'aria-label="([^"]*)"', svg)
        if "intervals" in place:
            (judged,) = judge_all(read_published(path_of(claim.name, "cpu", root), claim), claim)
            assert judged.interval is not None
            drawn_low = next(
                float(m[1].replace("−", "-")) for x in labels if (m := re.search(r"95 % from: ([−+\d.]+)", x))
            )
            assert drawn_low == pytest.approx(judged.interval.low, abs=1e-3)
        else:
            assert any("new" in x for x in labels) and any("old" in x for x in labels)


@pytest.mark.slow
@pytest.mark.parametrize("width", [390, 1280])
def test_a_page_is_as_wide_as_the_screen_and_its_plots_have_a_height(published, tmp_path, width):
    """A window of Chromium is at least 500 wide. Only its emulation of a phone is narrower."""
    pytest.importorskip("vl_convert", reason="vl-convert-python is in the extra site")
    webdriver = pytest.importorskip("selenium.webdriver")
    waiting = pytest.importorskip("selenium.webdriver.support.wait")
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not (chromium and driver):
        pytest.skip("no Chromium with its driver is installed")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for word in ("--headless=new", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path}/browser"):
        options.add_argument(word)
    page = write.write_site(tmp_path / "site", published[1]).parent / "made_up.html"
    with webdriver.Chrome(options=options, service=webdriver.ChromeService(driver)) as browser:
        phone = {"width": width, "height": 844, "deviceScaleFactor": 1, "mobile": width < 500}
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", phone)
        browser.get(page.as_uri())
        drawn = "return [...document.querySelectorAll('svg.marks')].map(e => e.getBoundingClientRect().height)"
        waiting.WebDriverWait(browser, 30).until(lambda b: len(b.execute_script(drawn)) == 2)
        assert browser.execute_script("return innerWidth") == width
        assert browser.execute_script("return document.documentElement.scrollWidth") <= width
        assert all(50 < height < 600 for height in browser.execute_script(drawn))


@pytest.mark.slow
def test_a_browser_draws_every_plot(published, tmp_path):
    pytest.importorskip("vl_convert", reason="vl-convert-python is in the extra site")
    browser = next(filter(None, map(shutil.which, ("chromium", "google-chrome", "chrome"))), None)
    if browser is None:
        pytest.skip("no Chromium is installed")
    page = write.write_site(tmp_path / "site", published[1]).parent / "made_up.html"
    words = ["--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=10000", "--dump-dom"]
    words += [f"--user-data-dir={tmp_path}/browser", "--disable-background-networking", "--window-size=390,800"]
    done = subprocess.run([browser, *words, page.as_uri()], capture_output=True, timeout=120, encoding="utf-8")
    assert len(re.findall(r"<svg[^>]*class=.marks", done.stdout)) == 2, done.stderr[-1000:]
