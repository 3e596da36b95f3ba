"""The report in a browser: widths, light and dark, without scripts, with a strict policy, accessibility."""

from __future__ import annotations

import shutil
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest

from fasthep_parsl.report import write_report
from long_logs import long_plan, write_long_log

CHROMIUM = shutil.which("chromium")
POLICY = "sandbox; default-src 'none'"
"""What some services add to pages that they show."""
pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(CHROMIUM is None, reason="needs Debian's package chromium"),
]


@pytest.fixture(scope="module")
def browser():
    api = pytest.importorskip("playwright.sync_api")
    with api.sync_playwright() as play:
        found = play.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield found
        found.close()


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """A report with everything: failures, lost tasks, blocks, names that are long, a picture that is large."""
    folder = tmp_path_factory.mktemp("report")
    plan = long_plan(400, files=8)
    long = [d.model_copy(update={"name": f"/Long_{'x' * 120}{i}/NANOAOD"}) for i, d in enumerate(plan.datasets)]
    plan = plan.model_copy(update={"datasets": tuple(long), "name": "long-" * 40})
    (folder / "plan.json").write_text(plan.model_dump_json())
    write_long_log(folder / "events.jsonl", plan, workers=30, failures=40, lost=9, ended=False)
    (folder / "plots").mkdir()
    picture = '<svg xmlns="http://www.w3.org/2000/svg" width="2000" height="1500"><rect width="9" height="9"/></svg>'
    (folder / "plots" / f"{'Mass' * 40}.svg").write_text(picture)
    return write_report(folder, alive=False)


@pytest.mark.parametrize("scripts", [True, False])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_is_wider_than_the_page(browser, report, scheme, scripts):
    page = browser.new_page(color_scheme=scheme, java_script_enabled=scripts)
    asked, problems = [], []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: problems.append(message.text))
    page.goto(report.as_uri())
    assert page.locator("#verdict").inner_text().startswith("Killed")
    for width in (1400, 360):
        page.set_viewport_size({"width": width, "height": 900})
        assert page.evaluate("[innerWidth, document.documentElement.scrollWidth]") == [width, width]
    colour = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (colour == "rgb(255, 255, 255)") == (scheme == "light")
    assert all(url.startswith("file://") for url in asked)
    assert problems == []
    page.close()


def test_print(browser, report):
    page = browser.new_page(color_scheme="dark")
    page.goto(report.as_uri())
    page.emulate_media(media="print")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert page.evaluate("getComputedStyle(document.querySelector('nav')).display") == "none"
    page.close()


class _Strict(SimpleHTTPRequestHandler):
    def end_headers(self):
        self.send_header("Content-Security-Policy", POLICY)
        super().end_headers()

    def log_message(self, *_args):
        pass


def test_all_is_there_under_a_strict_policy(browser, report):
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Strict, directory=str(report.parent))) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            page = browser.new_page()
            page.goto(f"http://127.0.0.1:{server.server_port}/report.html")
            strict = page.locator("body").inner_text()
            charts = page.locator("svg[role=img]")
            sizes = [charts.nth(number).bounding_box() for number in range(charts.count())]
            page.close()
        finally:
            server.shutdown()
            thread.join()
    assert "Killed" in strict
    assert "What is missing, and why" in strict
    assert sizes
    assert all(size["width"] > 5 and size["height"] > 5 for size in sizes)


@pytest.mark.parametrize(("scheme", "options"), [("light", {}), ("dark", {"runOnly": ["color-contrast"]})])
def test_accessibility(browser, report, scheme, options):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    page = browser.new_page(color_scheme=scheme)
    page.goto(report.as_uri())
    found = axe.Axe().run(page, options=options).response["violations"]
    page.close()
    assert [f"{item['id']}: {item['help']}: {item['nodes'][0]['html'][:120]}" for item in found] == []
