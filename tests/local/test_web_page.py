"""The page at `/` in a headless Chromium: what a person sees and does, and what a hostile text or page cannot do."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from endpoints_gitops.local.engine.interface import QueryEngine
from endpoints_gitops.local.serve import RunningServer, running_server
from endpoints_gitops.local.web_page import page_url

pytestmark = pytest.mark.slow
expect.set_options(timeout=60_000)  # ClickHouse starts with the first query

HOSTILE = "<script>window.harmed = 1</script><img src=x onerror='window.harmed = 1'>"
BY_DAY = """SELECT
    toDate(timestamp) AS day,
    count() AS signups
FROM events
WHERE event = 'user signed up'
GROUP BY day
ORDER BY day
LIMIT 20"""
VARIABLES = [
    {"name": "days", "type": "Number", "default_value": 30},
    {"name": "source", "type": "String"},
    {"name": "on", "type": "Boolean"},
    {"name": "since", "type": "Date", "default_value": "2026-06-01"},
    {"name": "plan", "type": "List", "default_value": "free", "values": ["free", "pro"]},
    {"name": "plans", "type": "List", "is_multi": True, "values": ["free", "pro", "team"]},
]
NAMES = [str(variable["name"]) for variable in VARIABLES]
COMPARED = (
    "SELECT count() AS c FROM events WHERE event = {variables.source} AND toUnixTimestamp(timestamp) = {variables.days}"
)
ODD = f"""SELECT number AS n, NULL AS nothing, '' AS blank, [1, NULL] AS list, 9007199254740993 AS big, n > 60 AS flag,
 repeat('long ', 60) AS text, '{HOSTILE.replace("'", '"')}' AS html FROM numbers(120) LIMIT 120"""
SERIES = [{"kind": "EventsNode", "event": "note created"}]
INSIGHTS: dict[str, dict[str, Any]] = {
    "trends": {"kind": "TrendsQuery", "series": SERIES, "dateRange": {"date_from": "-6d"}},
    "totals": {"kind": "TrendsQuery", "series": SERIES, "trendsFilter": {"display": "BoldNumber"}},
    "lifecycle": {"kind": "LifecycleQuery", "series": SERIES, "dateRange": {"date_from": "-6d"}},
    "stickiness": {"kind": "StickinessQuery", "series": SERIES, "dateRange": {"date_from": "-6d"}},
    "retention": {
        "kind": "RetentionQuery",
        "retentionFilter": {"totalIntervals": 4, "targetEntity": {"id": "note created", "type": "events"}},
    },
    "funnel": {"kind": "FunnelsQuery", "series": [*SERIES, *SERIES], "dateRange": {"date_from": "-6d"}},
}


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Debian's chromium, or another one on PATH. Playwright keeps an event loop running in this thread until it ends,
    in which tests of other modules could not run theirs."""
    executable = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if executable is None and not os.environ.get("ENDPOINTS_TEST_REQUIRE_CHROMIUM"):
        pytest.skip("there is no chromium on PATH")
    with sync_playwright() as playwright:
        arguments = ["--host-resolver-rules=MAP rebound.example 127.0.0.1"]
        if os.name == "posix" and os.geteuid() == 0:
            arguments.append("--no-sandbox")  # which root cannot have
        launched = playwright.chromium.launch(executable_path=executable, args=arguments)
        yield launched
        launched.close()


@pytest.fixture(scope="module")
def stocked(engine: QueryEngine) -> Iterator[RunningServer]:
    """A server with endpoints of every kind, whose tests only read."""
    with running_server(engine=engine) as server:
        client = httpx.Client(
            base_url=f"{server.url}/api/projects/1",
            headers={"Authorization": f"Bearer {server.key}"},
            verify=False,
            timeout=30,
        )

        def sent(method: str, path: str, body: dict[str, Any]) -> None:
            answer = client.request(method, path, json=body)
            assert answer.is_success, answer.text

        def query(sql: str) -> dict[str, Any]:
            return {"kind": "HogQLQuery", "query": sql}

        for variable in VARIABLES:
            sent("POST", "insight_variables/", variable)
        columns = ", ".join(f"{{variables.{name}}} AS {name}" for name in NAMES)
        sent("POST", "endpoints/", {"name": "by_day", "query": query(BY_DAY), "tags": ["growth"]})
        changed = BY_DAY.replace("count() AS signups", "count() AS accounts").replace(" LIMIT 20", "")
        sent("PATCH", "endpoints/by_day/", {"query": query(changed), "data_freshness_seconds": 900})
        sent("POST", "endpoints/", {"name": "each_type", "query": query(f"SELECT {columns}")})
        sent("POST", "endpoints/", {"name": "odd", "query": query(ODD), "description": HOSTILE, "tags": [HOSTILE]})
        sent("POST", "endpoints/", {"name": "needed", "query": query(COMPARED), "is_materialized": True})
        sent("POST", "endpoints/", {"name": "off", "query": query("SELECT 1 AS one"), "is_active": False})
        repeated = "SELECT 'a' AS x, number AS n FROM numbers(3) ORDER BY n"
        sent("POST", "endpoints/", {"name": "repeated", "query": query(repeated)})
        for name, node in INSIGHTS.items():
            sent("POST", "endpoints/", {"name": name, "query": node})
        client.close()
        yield server


class Visit:
    """A tab of the page; at the end it must have had no mistakes of its own, and asked no other server."""

    def __init__(self, context: BrowserContext, server: RunningServer) -> None:
        self.server = server
        self.page = context.new_page()
        self.requests: list[str] = []
        self.mistakes: list[str] = []
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("pageerror", lambda error: self.mistakes.append(str(error)))
        self.page.on("console", lambda message: self.mistakes.append(message.text) if message.type == "error" else None)

    def show(self, name: str = "", tab: str = "") -> Page:
        self.page.goto(page_url(self.server.url, self.server.readonly_key))
        expect(self.page.locator(".endpoints li").first).to_be_visible()
        if name:
            self.page.goto(f"{self.server.url}/#/{name}/{tab}")
            expect(self.page.locator(".endpoint-head h2")).to_contain_text(name)
            expect(self.page.locator("#panel-run .fields > *").first).to_be_attached()
        return self.page

    def run(self, name: str) -> Page:
        page = self.show(name)
        page.get_by_role("button", name="Run", exact=True).click()
        expect(page.locator(".result > *").first).to_be_visible()
        expect(page.locator(".result")).not_to_contain_text("Running")
        return page


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    with browser.new_context(locale="en-US", timezone_id="Asia/Tokyo") as opened:
        opened.set_default_timeout(15_000)
        yield opened


@pytest.fixture
def visit(context: BrowserContext, stocked: RunningServer) -> Iterator[Visit]:
    made = Visit(context, stocked)
    yield made
    assert {url.partition("/#")[0].startswith(stocked.url) for url in made.requests} <= {True}
    refused = "Failed to load resource: the server responded with a status of 40"
    assert [mistake for mistake in made.mistakes if not mistake.startswith(refused)] == []


def texts(page: Page, selector: str) -> list[str]:
    return page.locator(selector).all_inner_texts()


def test_the_list_is_filtered_by_name_text_and_tag(visit: Visit) -> None:
    page = visit.show()
    assert len(texts(page, ".endpoint-name")) == 6 + len(INSIGHTS)
    for words, found in (("GROWTH", ["by_day"]), ("harmed", ["odd"]), ("by day", ["by_day"]), ("nothing", [])):
        page.get_by_label("Filter endpoints").fill(words)
        assert texts(page, ".endpoint-name") == found
    assert "0 of 12 endpoints" in page.locator(".count").inner_text()


def test_a_run_shows_table_and_chart(visit: Visit) -> None:
    page = visit.run("by_day")
    rows = page.locator("table.rows tbody tr").count()
    assert rows > 5
    assert texts(page, "table.rows thead th")[1:] == ["day\nDate", "accounts\nUInt64"]
    assert page.locator("svg.lines circle").count() == rows
    expect(page.locator("svg.lines")).to_have_attribute("aria-label", "accounts by day")
    first = [page.locator("table.rows tbody tr").first.locator("td").nth(place).inner_text() for place in (0, 1)]
    assert page.locator("svg.lines circle title").first.text_content() == ": ".join(first)
    assert "computed" in page.locator(".result .card-head").inner_text()


def test_a_result_of_the_cache_says_since_when(visit: Visit) -> None:
    page = visit.show("by_day")
    page.get_by_label("Refresh").select_option("force")  # other tests may have filled the cache
    page.get_by_role("button", name="Run", exact=True).click()
    expect(page.locator(".result .card-head")).to_contain_text("computed")
    assert "cache" not in page.locator(".result .card-head").inner_text()
    page.get_by_label("Refresh").select_option("cache")
    page.get_by_role("button", name="Run", exact=True).click()
    expect(page.locator(".result .card-head")).to_contain_text(
        re.compile(r"computed · in the cache since \d{4}-\d\d-\d\dT[\d:]{8}Z")
    )


def test_numbers_at_one_place_of_the_axis_are_all_drawn(visit: Visit) -> None:
    page = visit.run("repeated")
    titles = page.locator("svg.bars rect title").all_text_contents()
    assert titles == ["a: 0", "a: 1", "a: 2"]


def test_odd_values_are_shown_whole_and_nothing_is_markup(visit: Visit) -> None:
    page = visit.run("odd")
    cells = page.locator("table.rows tbody tr").first.locator("td")
    shown = [cells.nth(place).inner_text() for place in range(6)]
    assert shown == ["0", "NULL", "empty text", "[1,null]", "9007199254740993", "0"]
    assert page.locator("[data-role=shown]").inner_text() == "100 of 120 rows shown."
    page.get_by_role("button", name="Show more rows").click()
    assert page.locator("[data-role=shown]").inner_text() == "120 rows."
    assert page.locator("table.rows tbody tr").count() == 120
    page.get_by_role("button", name="Show the whole value of text").first.click()
    assert page.locator("#value-text").inner_text().strip() == ("long " * 60).strip()
    page.keyboard.press("Escape")
    expect(page.locator("#value-dialog")).not_to_be_visible()
    assert page.locator(".about").inner_text() == HOSTILE
    assert texts(page, ".tags li") == [HOSTILE.lower()]
    for tab in ("versions", "log"):
        page.locator(f"#tab-{tab}").click()
        expect(page.locator(f"#panel-{tab}")).to_be_visible()
    assert page.evaluate("window.harmed") is None
    assert page.locator("main script, main img, .side img").count() == 0


def test_variables_are_sent_as_they_are_typed(visit: Visit) -> None:
    page = visit.show("each_type")
    labels = [" ".join(text.split()) for text in texts(page, ".fields .field > label")]
    assert labels == [
        "days number", "source text", "on true or false", "since date", "plan list", "plans list",
    ]  # fmt: skip
    hints = texts(page, ".fields .hint > span")
    empty = "not sent if empty"
    assert hints == ["default 30", empty, empty, "default “2026-06-01”", "default “free”", "default []"]
    page.get_by_label("source").fill('it\'s "quoted" $HOME `x` \\ 雪')
    page.get_by_label("days").fill("7.5")
    page.get_by_label("on", exact=False).first.select_option("false")
    page.get_by_label("plans").select_option(["free", "team"])
    page.locator("#variable-3-null").check()
    request = page.get_by_label("The request as curl").inner_text()
    page.get_by_role("button", name="Run", exact=True).click()
    row = page.locator("table.rows tbody tr td")
    expect(row).to_have_count(6)
    shown = row.all_inner_texts()
    assert shown == ["7.5", 'it\'s "quoted" $HOME `x` \\ 雪', "0", "NULL", "free", '["free","team"]']
    if shutil.which("curl"):
        ended = subprocess.run(["bash", "-c", request], capture_output=True, text=True, check=True)
        assert json.loads(ended.stdout)["results"] == [
            [7.5, 'it\'s "quoted" $HOME `x` \\ 雪', 0, None, "free", ["free", "team"]]
        ]


def test_version_limit_and_refresh_are_sent(visit: Visit) -> None:
    page = visit.show("by_day")
    page.get_by_label("Version", exact=True).select_option("1")
    page.get_by_label("Limit").fill("3")
    page.get_by_label("Offset").fill("1")
    page.get_by_label("Refresh").select_option("force")
    body = page.get_by_label("The request as curl").inner_text().rpartition("-d ")[2]
    assert json.loads(body.strip("'")) == {"version": 1, "limit": 3, "offset": 1, "refresh": "force"}
    page.get_by_role("button", name="Run", exact=True).click()
    expect(page.locator("table.rows tbody tr")).to_have_count(3)
    assert texts(page, "table.rows thead th")[2].startswith("signups")
    assert "the server has more rows" in page.locator(".result .card-head").inner_text()


def test_refusals_are_shown_as_the_server_sent_them(visit: Visit) -> None:
    page = visit.run("off")
    assert page.locator(".refusal strong").inner_text() == "Answer 404"
    assert page.locator(".refusal .detail").inner_text() == "Not found."
    page.locator(".refusal summary").click()
    sent = json.loads(page.locator(".refusal pre").inner_text())
    assert sent == {"type": "invalid_request", "code": "not_found", "detail": "Not found.", "attr": None}


def test_a_required_variable_cannot_be_left_out(visit: Visit) -> None:
    page = visit.show("needed")
    field = page.get_by_label("source")
    assert texts(page, ".fields .hint") == ["required, because the version has a table"] * 2
    assert page.get_by_label("days").input_value() == "30"
    page.get_by_role("button", name="Run", exact=True).click()
    assert field.evaluate("element => element.validity.valueMissing")
    field.fill("note created")
    page.get_by_role("button", name="Run", exact=True).click()
    expect(page.locator(".result .card-head")).to_contain_text("read from the table")
    body = page.get_by_label("The request as curl").inner_text().rpartition("-d ")[2]
    assert json.loads(body.strip("'")) == {"variables": {"source": "note created", "days": 30}}


def test_versions_are_compared_by_lines_and_settings(visit: Visit) -> None:
    page = visit.show("by_day", "versions")
    changed = [" ".join(text.split()) for text in texts(page, "#panel-versions tr:not(.same) td.code-line")]
    assert changed == ["removed: count() AS signups", "added: count() AS accounts"]
    assert texts(page, "#panel-versions td.code-line mark") == ["signups", "accounts"]
    settings = [row.split("\t") for row in texts(page, "table.settings tbody tr")]
    assert settings[0] == ["cached for (seconds)", "86400", "900"]
    assert "equal line" in page.locator("tr.skipped").first.inner_text()
    page.get_by_label("all lines and settings").check()
    assert page.locator("tr.skipped").count() == 0
    assert page.locator(".lines-table tr").count() == len(BY_DAY.splitlines())
    page.locator("#left-version").select_option("2")
    assert "The queries are equal." in page.locator("#panel-versions").inner_text()


@pytest.mark.parametrize(
    ("name", "columns", "drawn"),
    [
        ("trends", ["day", "note created"], "svg.lines"),
        ("totals", ["series", "value"], None),
        ("lifecycle", ["day", "new", "returning", "resurrecting", "dormant"], "svg.lines"),
        ("stickiness", ["day", "note created"], "svg.bars"),
        ("retention", ["cohort", "Day 0", "Day 1", "Day 2", "Day 3"], "svg.lines"),
        ("funnel", ["step", "people", "% of the first step", "median seconds"], "svg.bars"),
    ],
)
def test_insights_have_a_table_and_a_chart(visit: Visit, name: str, columns: list[str], drawn: str | None) -> None:
    page = visit.run(name)
    assert [text.splitlines()[0] for text in texts(page, "table.rows thead th")[1:]] == columns
    assert page.locator("table.rows tbody tr").count() > 0
    assert page.locator(".plot svg").count() == (0 if drawn is None else 1)
    if drawn is not None:
        expect(page.locator(drawn)).to_be_visible()
        shown = {"funnel": "people"}.get(name, ", ".join(columns[1:]))  # of a funnel, each column has a unit of its own
        expect(page.locator(drawn)).to_have_attribute("aria-label", f"{shown} by {columns[0]}")


def test_the_log_shows_the_runs(visit: Visit) -> None:
    page = visit.run("repeated")
    page.locator("#tab-log").click()
    expect(page.locator("table.log tr").first).to_contain_text("Endpoint executed")


def test_the_keyboard_reaches_everything(visit: Visit) -> None:
    page = visit.show("by_day")
    page.locator("#tab-run").focus()
    page.keyboard.press("ArrowRight")
    expect(page.locator("#tab-versions")).to_be_focused()
    expect(page.locator("#panel-versions")).to_be_visible()
    page.keyboard.press("ArrowLeft")
    page.get_by_label("days").or_(page.get_by_label("Limit")).first.focus()
    page.keyboard.press("Enter")
    expect(page.locator("table.rows")).to_be_visible()
    unnamed = page.evaluate(
        """() => [...document.querySelectorAll('button, a, input, select, textarea')]
            .filter((one) => !(one.textContent.trim() || one.labels?.length || one.getAttribute('aria-label')))
            .map((one) => one.outerHTML)"""
    )
    assert unnamed == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 800])
def test_small_screens_need_no_scrolling_sideways(
    browser: Browser, stocked: RunningServer, width: int, scheme: Any
) -> None:
    with browser.new_context(viewport={"width": width, "height": 740}, color_scheme=scheme) as context:
        visit = Visit(context, stocked)
        for name, tab in (("", ""), ("by_day", "run"), ("by_day", "versions"), ("odd", "run"), ("odd", "versions")):
            page = visit.run(name) if tab == "run" else visit.show(name, tab)
            assert page.evaluate("document.documentElement.scrollWidth") <= width, (name, tab)


def test_the_key_is_asked_for_and_kept_for_the_tab_only(context: BrowserContext, stocked: RunningServer) -> None:
    page = context.new_page()
    page.goto(stocked.url)
    page.get_by_label("Key").fill("phx_of_another_place")
    page.get_by_role("button", name="Open").click()
    expect(page.get_by_role("alert")).to_contain_text(
        "Personal API key found in request Authorization header is invalid."
    )
    assert page.evaluate("[sessionStorage.length, localStorage.length, document.cookie]") == [0, 0, ""]
    page.get_by_label("Key").fill(stocked.readonly_key)
    page.get_by_role("button", name="Open").click()
    expect(page.locator(".endpoints li").first).to_be_visible()
    assert stocked.readonly_key not in page.url
    page.reload()
    expect(page.locator(".endpoints li").first).to_be_visible()
    page.get_by_role("button", name="Forget key").click()
    assert page.evaluate("sessionStorage.length") == 0
    expect(page.get_by_label("Key")).to_be_visible()


def test_the_address_does_not_keep_the_key(visit: Visit) -> None:
    page = visit.show()
    assert page.url == f"{visit.server.url}/#/"
    assert not [url for url in visit.requests if visit.server.readonly_key in url.partition("#")[0]]


@pytest.mark.parametrize("site", ["another port", "no origin"])
def test_pages_of_other_sites_cannot_use_the_server(
    context: BrowserContext, stocked: RunningServer, engine: QueryEngine, site: str
) -> None:
    """Not even with the right key, or on a route that asks for none."""
    ask = """async ([url, key]) => {
        const answers = [];
        for (const mode of ["cors", "no-cors"]) {
            try {
                const headers = { Authorization: `Bearer ${key}` };
                answers.push((await fetch(url, { mode, method: "POST", headers, body: '{"days": 1}' })).type);
            } catch (error) { answers.push(error.name); }
        }
        return answers;
    }"""
    with running_server(engine=engine, control=True) as other:
        page = context.new_page()
        statuses: list[int] = []
        page.on("response", lambda response: statuses.append(response.status))
        page.goto(f"{stocked.url}/api/schema/" if site == "another port" else "data:text/html,another site")
        statuses.clear()
        for path in ("/api/projects/1/endpoints/", "/__age__"):
            answers = page.evaluate(ask, [f"{other.url}{path}", other.key])
            assert answers in (["TypeError", "opaque"], ["TypeError", "TypeError"])  # the latter where Chromium refuses
        assert statuses or site == "no origin"
        assert set(statuses) <= {403}
        assert other.requests.entries() == ()


def test_a_name_that_was_pointed_to_this_machine_is_refused(context: BrowserContext, stocked: RunningServer) -> None:
    page = context.new_page()
    answer = page.goto(stocked.url.replace("127.0.0.1", "rebound.example"))
    assert answer is not None
    assert answer.status == 403
    assert "is not this machine. Use localhost or 127.0.0.1." in page.inner_text("body")


def test_a_link_of_an_answer_opens_the_endpoint(visit: Visit) -> None:
    page = visit.show()
    page.goto(f"{visit.server.url}/project/1/endpoints/by_day")
    expect(page.locator(".endpoint-head h2")).to_contain_text("by_day")


def test_another_project_is_chosen(context: BrowserContext, engine: QueryEngine) -> None:
    with running_server(engine=engine) as server:
        second = server.add_project("Second <b>")
        body = {"name": "of_the_second", "query": {"kind": "HogQLQuery", "query": "SELECT 2 AS two"}}
        url = f"{server.url}/api/projects/{second}/endpoints/"
        assert httpx.post(url, json=body, headers={"Authorization": f"Bearer {server.key}"}, verify=False).is_success
        page = context.new_page()
        page.goto(page_url(server.url, server.readonly_key))
        expect(page.locator("main")).to_contain_text("project_id = 1")
        page.get_by_label("Project").select_option("Second <b>")
        page.get_by_role("link", name="of_the_second").click()
        page.get_by_role("button", name="Run", exact=True).click()
        expect(page.locator("table.rows tbody td")).to_have_text("2")
        assert (
            f"/api/projects/{second}/endpoints/of_the_second/run"
            in page.get_by_label("The request as curl").inner_text()
        )


def test_numbers_of_an_older_browser_are_marked(visit: Visit) -> None:
    """Where JSON.parse does not tell how a number was written, its last digits are not known."""
    visit.page.add_init_script(
        """const parse = JSON.parse;
        JSON.parse = (text, revive) => parse(text, revive && ((key, value) => revive(key, value)));"""
    )
    page = visit.run("odd")
    assert page.locator("table.rows tbody tr").first.locator("td").nth(4).inner_text() == "about 9007199254740992"


def test_a_stopped_server_is_named(context: BrowserContext, engine: QueryEngine) -> None:
    with running_server(engine=engine) as server:
        page = context.new_page()
        page.goto(page_url(server.url, server.readonly_key))
        expect(page.locator("main")).to_contain_text("No endpoints yet")
    page.get_by_role("button", name="Reload").click()
    expect(page.get_by_role("alert")).to_contain_text("The server did not answer")


def test_below_a_prefix(context: BrowserContext, engine: QueryEngine) -> None:
    with running_server(engine=engine, prefix="/posthog") as server:
        page = context.new_page()
        page.goto(page_url(server.url, server.readonly_key))
        expect(page.locator("main")).to_contain_text("No endpoints yet")
        expect(page.locator("main")).to_contain_text(f'host = "{server.url}"')


@pytest.mark.parametrize("name", ["", "page/page.js", "page/page.css", "page/icon.svg"])
def test_files_have_headers_against_framing_and_foreign_scripts(server: RunningServer, name: str) -> None:
    answer = httpx.get(f"{server.url}/{name}", verify=False)
    assert answer.status_code == 200
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("default-src 'self'; ")
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    assert answer.headers["x-content-type-options"] == "nosniff"
    for key in (server.key, server.readonly_key, server.project_secret_key):
        assert key not in answer.text


def test_other_files_are_not_served(server: RunningServer) -> None:
    for path in ("page/", "page/../app.py", "page/%2e%2e/app.py", "page/none.js", "app.py"):
        assert httpx.get(f"{server.url}/{path}", verify=False).status_code == 404


def _luminance(color: str) -> float:
    parts = [int(color[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
def test_colors_can_be_read(scheme: int) -> None:
    """The contrast that WCAG asks for: 4.5 for texts, 3 for lines of charts."""
    sheet = (Path(__file__).parents[2] / "endpoints_gitops/local/page/page.css").read_text()
    colors = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", sheet.split("prefers-color-scheme: dark")[scheme]))

    def contrast(one: str, other: str) -> float:
        lighter, darker = sorted((_luminance(colors[one]), _luminance(colors[other])), reverse=True)
        return (lighter + 0.05) / (darker + 0.05)

    texts_on = {
        "text": ("ground", "surface", "sunk", "accent-soft", "added", "removed", "added-mark", "removed-mark"),
        "muted": ("ground", "surface", "sunk"),
        "accent": ("ground", "surface", "accent-soft"),
        "accent-text": ("accent",),
        "good": ("good-soft",),
        "bad": ("bad-soft",),
        "keyword": ("sunk", "surface"),
        "string": ("sunk", "surface"),
        "number-color": ("sunk", "surface"),
    }
    weak = {
        (text, ground): round(contrast(text, ground), 2)
        for text, grounds in texts_on.items()
        for ground in grounds
        if contrast(text, ground) < 4.5
    }
    weak |= {(f"series-{index}", "surface"): 0 for index in range(8) if contrast(f"series-{index}", "surface") < 3}
    assert weak == {}
