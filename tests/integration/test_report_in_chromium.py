"""The report in a real browser: no errors, the log's numbers, filters, nothing from data runs."""

import shutil
from dataclasses import dataclass, field

import pytest

from langgraph_memskill.benchmarks.report.rendering import write_report
from langgraph_memskill.benchmarks.run_log import read_run_log, write_run_log
from tests.benchmarks.report.runs import game_run, made_up_run

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium on this machine")

EVIL = "</script><script>window.hacked = 1</script><img src=x onerror='window.hacked = 2'>"


@dataclass
class Opened:
    """A page in the browser, with what it complained about."""

    page: object
    complaints: list = field(default_factory=list)
    requests: list = field(default_factory=list)

    def texts(self, selector):
        return self.page.locator(selector).all_inner_texts()

    def ids(self):
        return self.page.locator(".item").evaluate_all("all => all.map(one => one.dataset.id)")

    def count(self):
        return self.page.locator("#count").inner_text()

    def search(self, text):
        self.page.locator("#search").fill(text)
        # The page's own timer of 150 ms was set before this one, so it is over before it.
        self.page.evaluate("() => new Promise(done => setTimeout(done, 200))")


@pytest.fixture(scope="module")
def browser():
    with sync_api.sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield running
        running.close()


@pytest.fixture
def open_report(browser, tmp_path):
    opened = []

    def open_page(*runs, scheme="light"):
        folders = [tmp_path / f"run{number}" for number in range(len(runs))]
        for run, folder in zip(runs, folders, strict=True):
            write_run_log(run, folder / "run.json")
        file = tmp_path / "report.html"
        write_report(folders, file)
        found = Opened(browser.new_page(color_scheme=scheme))
        found.page.on("console", lambda message: found.complaints.append(message.text))
        found.page.on("pageerror", lambda error: found.complaints.append(str(error)))
        found.page.on("request", lambda request: found.requests.append(request.url))
        found.page.goto(file.as_uri())
        found.page.wait_for_selector("body[data-ready]")
        opened.append(found)
        return found

    yield open_page
    for one in opened:
        assert one.complaints == []
        assert [url for url in one.requests if not url.startswith(("file:", "data:"))] == []
        one.page.close()


def test_the_numbers_on_the_page_are_those_of_the_log(open_report, tmp_path):
    opened = open_report(made_up_run(num_rows=4))
    log = read_run_log(tmp_path / "run0")
    for row in log.rows:
        cells = opened.page.locator(f'#summary tr[data-row="{row.title}"]')
        overall = row.categories[-1]
        for metric, summary in overall.metrics.items():
            text = cells.locator(f'[data-metric="{metric}"]').inner_text()
            wanted = f"{summary.mean:.3f}[{summary.low:.3f}, {summary.high:.3f}]"
            assert "".join(text.split("\n")) == wanted
        for name, value in {
            "items": overall.items,
            "failed": overall.failed,
            "tokens_per_item": round(row.tokens_per_item),
            "building": row.building.usage.tokens,
            "total": row.total.usage.tokens,
            "calls": row.total.usage.calls,
            "answering_calls": row.answering.usage.calls,
            "building_calls": row.building.usage.calls,
        }.items():
            shown = cells.locator(f'[data-name="{name}"]').inner_text()
            assert shown == f"{value:,}", name


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_all_charts_are_drawn(open_report, scheme):
    opened = open_report(made_up_run(num_rows=4), scheme=scheme)
    for chart in ("category-chart", "cost-chart", "skill-chart"):
        assert opened.page.locator(f"#{chart} svg").count() == 1
    # One point for each row, in each of four categories.
    assert opened.page.locator("#category-chart .mark-symbol path").count() == 16
    ground = opened.page.evaluate("getComputedStyle(document.body).backgroundColor")
    label = opened.page.locator("#category-chart text").first.get_attribute("fill")
    assert (ground, label.lower()) == (
        ("rgb(255, 255, 255)", "#1d2125") if scheme == "light" else ("rgb(20, 23, 26)", "#e6e9ec")
    )


def test_another_metric_is_drawn(open_report):
    opened = open_report(made_up_run(num_rows=2))
    before = opened.page.locator("#category-chart .mark-symbol path").first.get_attribute(
        "transform"
    )
    opened.page.locator("#category-chart select").select_option("judge")
    after = opened.page.locator("#category-chart .mark-symbol path").first.get_attribute(
        "transform"
    )
    assert before != after


def test_questions_are_searched_and_filtered(open_report):
    opened = open_report(made_up_run(num_samples=2, num_questions=30, num_rows=3))
    assert opened.count() == "60 of 60 questions"
    assert len(opened.ids()) == 25
    opened.page.locator("#next").click()
    opened.page.locator("#next").click()
    assert opened.texts("#page") == ["page 3 of 3"]
    assert len(opened.ids()) == 10
    opened.search("FACT 7 of conv-1?")
    assert opened.ids() == ["conv-1/q7"]
    assert opened.texts(".item mark") == ["fact 7 of conv-1?"]
    opened.search("")
    opened.page.locator("#sample").select_option("conv-0")
    opened.page.locator("#category").select_option("temporal")
    assert opened.ids() == [f"conv-0/q{number}" for number in range(2, 30, 3)]
    opened.page.locator("#category").select_option("")
    opened.page.locator("#state").select_option("failed")
    assert opened.ids() == ["conv-0/q5"]
    opened.page.locator("#state").select_option("unscored")
    assert opened.ids() == ["conv-0/q3"]


def test_what_searches_nothing_misses_no_evidence(open_report):
    opened = open_report(made_up_run(num_samples=1, num_questions=12, num_rows=3))
    opened.page.locator("#state").select_option("missed")
    of_any = opened.ids()
    opened.page.locator("#row").select_option("plain RAG")
    assert opened.ids() == of_any != []
    assert "conv-0/q5" not in of_any  # it failed
    for row in ("no memory", "full context"):
        opened.page.locator("#row").select_option(row)
        assert opened.ids() == []


def test_memories_are_searched_in_the_chosen_row(open_report):
    opened = open_report(made_up_run(num_samples=1, num_questions=6, num_rows=2))
    opened.search("is number 203")  # only a memory says so
    assert opened.ids()
    opened.page.locator("#row").select_option("no memory")
    assert opened.ids() == []


def test_a_question_shows_answers_memories_and_their_spans(open_report, tmp_path):
    opened = open_report(made_up_run(num_samples=1, num_questions=6, num_rows=3))
    item = read_run_log(tmp_path / "run0").rows[2].items[4]
    row = opened.page.locator('.item[data-id="conv-0/q4"]')
    row.locator("summary").first.click()
    played = row.locator('.played[data-row="full context"]')
    assert played.locator(".answer").inner_text() == item.answer
    assert f"f1 {item.scores['f1'].value:.3f}" in played.inner_text()
    played.locator("summary", has_text="memories").click()
    memories = played.locator(".memory")
    memories.first.wait_for()
    assert memories.count() == len(item.recalled)
    first = item.recalled[0].memory_id[1:]
    assert f"1. Fact {first} of conv-0" in memories.first.inner_text()
    memories.first.locator("summary").click()
    assert f"Ann said, fact {first} of conv-0" in memories.first.locator(".span").inner_text()
    is_right = item.scores["evidence_recall@20"].value == 1.0
    assert played.locator(".memory.hit").count() >= int(is_right)


def test_a_memory_that_is_its_span_shows_and_finds_the_text(open_report):
    run = made_up_run(num_samples=1, num_questions=6, num_rows=3)
    row = run.rows[2]
    memories = [m.model_copy(update={"content": None}) for m in row.builds[0].memories]
    build = row.builds[0].model_copy(update={"memories": tuple(memories)})
    rows = (run.rows[0], run.rows[1], row.model_copy(update={"builds": (build,)}))
    opened = open_report(run.model_copy(update={"rows": rows}))
    opened.page.locator("#row").select_option("full context")
    opened.search("Ann said, fact 4 of conv-0")  # no question says so
    assert opened.ids()
    opened.page.locator(".item summary").first.click()
    played = opened.page.locator('.played[data-row="full context"]')
    played.locator("summary", has_text="memories").click()
    played.locator(".memory").first.wait_for()
    assert "Ann said, fact" in played.locator(".memory").first.inner_text()


def test_a_game_is_shown_step_by_step(open_report):
    opened = open_report(game_run())
    opened.page.locator(".item summary").first.click()
    opened.page.locator("summary", has_text="2 steps").click()
    opened.page.locator(".step").first.wait_for()
    steps = opened.texts(".step")
    assert steps == [
        "Where am I?\n1. > look · the reply fits no command\nYou are in a kitchen.",
        "2. > take mug 1 · reward 1\nYou see a mug.",
    ]
    assert opened.page.locator("#skill-chart").count() == 0  # nothing to show in it


def test_nothing_from_a_log_runs(open_report):
    run = made_up_run(num_rows=2, num_samples=1)
    row = run.rows[1]
    memories = [m.model_copy(update={"content": EVIL}) for m in row.builds[0].memories]
    build = row.builds[0].model_copy(update={"memories": tuple(memories), "skill_uses": {EVIL: 1}})
    items = [item.model_copy(update={"answer": EVIL, "text": EVIL}) for item in row.items]
    spans = [span.model_copy(update={"text": EVIL}) for span in run.samples[0].spans]
    changes = {"title": EVIL, "builds": (build,), "items": tuple(items)}
    run = run.model_copy(
        update={
            "rows": (row.model_copy(update=changes),),
            "samples": (run.samples[0].model_copy(update={"spans": tuple(spans)}),),
        }
    )
    opened = open_report(run)
    opened.page.locator(".item summary").first.click()
    opened.page.locator(".played summary").first.click()
    opened.page.locator(".memory summary").first.click()
    opened.page.locator("#category-chart .mark-symbol path").first.hover()
    opened.search("script")
    assert opened.page.locator(".memory .text, .item mark").count() > 0
    assert opened.page.evaluate("window.hacked") is None
    assert opened.page.locator("img").count() == 0


def test_several_runs_are_compared(open_report):
    opened = open_report(made_up_run(num_rows=2), made_up_run(num_rows=2, seed=1))
    labels = opened.texts("#summary tbody th")
    assert labels == [
        "no memory · run0",
        "plain RAG · run0",
        "no memory · run1",
        "plain RAG · run1",
    ]
    f1 = opened.page.locator('#differences table[data-metric="f1"]')
    assert f1.locator("td[data-value]").count() == 6
    assert opened.count() == "24 of 24 questions"


def test_runs_that_cannot_be_compared_say_why(open_report):
    opened = open_report(made_up_run(num_rows=2), made_up_run(num_rows=2, seed=1, top_k=2))
    row = opened.page.locator('#deviations tr[data-what="memories a question"]')
    wanted = "memories a question 20 (run0) 2 (run1) not compared across"
    assert " ".join(row.inner_text().split()) == wanted
    f1 = opened.page.locator('#differences table[data-metric="f1"]')
    assert f1.locator("td[data-value]").count() == 2


@pytest.mark.slow
def test_a_large_run_stays_usable(open_report, tmp_path):
    """1,500 questions by 7 rows; bounds above what is needed, against a page that grows."""
    opened = open_report(made_up_run(num_samples=10, num_questions=150, num_spans=200, num_rows=7))
    assert (tmp_path / "report.html").stat().st_size < 6_000_000
    assert opened.count() == "1500 of 1500 questions"
    assert opened.page.evaluate("document.querySelectorAll('*').length") < 6_000
    opened.search("fact 77 of conv-9?")
    assert opened.ids() == ["conv-9/q77"]
