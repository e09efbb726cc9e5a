import time

import pytest
from example_rows import choice_examples, text_examples

from chromium import barriers, chromium, console, emulate, print_pages
from outgrow.labels import Note
from outgrow.report.html import report_html

pytestmark = pytest.mark.slow

OWNED = "document.title = 'owned'"
HOSTILE = f'</script><script>{OWNED}</script><img src=x onerror="{OWNED}"> {{{{7*7}}}} \u202eright to left'


@pytest.fixture(scope="module")
def driver(tmp_path_factory):
    with chromium(tmp_path_factory.mktemp("profile")) as opened:
        yield opened


@pytest.fixture
def shown(tmp_path, driver, one_metric):
    """Opens a report; returns the driver, and checks in the end that nothing was refused or asked of another host."""

    def show(examples, *, hidden=None):
        parts = {"test": examples} | ({"unlabelled": hidden} if hidden else {})
        (tmp_path / "report.html").write_text(report_html("x", one_metric, {}, examples=parts), encoding="utf-8")
        driver.get(f"file://{tmp_path}/report.html")
        until(lambda: driver.find_elements("css selector", "#example-list summary"))
        return driver

    yield show
    assert console(driver) == []
    asked = [
        entry["message"] for entry in driver.get_log("performance") if 'Network.requestWillBeSent"' in entry["message"]
    ]
    assert not [message for message in asked if '"url":"http' in message]


def until(check, seconds=5):
    deadline = time.monotonic() + seconds
    while not (found := check()):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return found


def rows(driver):
    return [each.text for each in driver.find_elements("css selector", "#example-list summary")]


def count(driver):
    return driver.find_element("id", "example-count").text


def pick(driver, label):
    driver.find_element("xpath", f"//fieldset/label[contains(., '{label}')]/input").click()


def choose(driver, which, option):
    driver.find_element("xpath", f"//select[@id='example-{which}']/option[contains(., '{option}')]").click()


def test_rows_are_filtered_by_who_is_right(shown):
    driver = shown(choice_examples(40))
    assert count(driver) == "Rows 1 to 25 of 40"
    pick(driver, "weak wrong, student right (10)")
    assert count(driver) == "Rows 1 to 10 of 10"
    assert all("student: yes ✓" in row and "weak: no ✗" in row for row in rows(driver))
    choose(driver, "verdict", "wrong")
    assert count(driver) == "No row is like that."  # on these, the label is right
    pick(driver, "all (5)")
    assert all("label: no ✗" in row for row in rows(driver))
    choose(driver, "verdict", "any")
    choose(driver, "weak", "ben")
    assert "weak: no vote" in rows(driver)[0]
    pick(driver, "weak silent, student wrong (20)")
    assert count(driver) == "Rows 1 to 20 of 20"


def test_rows_are_searched_and_sorted(shown):
    driver = shown(choice_examples(40))
    assert "student: no ✗" in rows(driver)[0]  # surprising ones first
    choose(driver, "sort", "order")
    assert rows(driver)[0].startswith("text 0\n")
    driver.find_element("id", "example-search").send_keys("TEXT 3")
    assert count(driver) == "Rows 1 to 11 of 11"  # 3, and 30 to 39
    driver.find_element("id", "example-search").send_keys("zzz")
    assert count(driver) == "No row is like that."


def test_a_row_shows_all_answers_when_it_is_opened_by_keys(shown):
    driver = shown(choice_examples(40))
    choose(driver, "sort", "order")
    driver.execute_script("document.querySelector('#example-list summary').focus()")
    driver.switch_to.active_element.send_keys("\ue015")  # arrow down
    driver.switch_to.active_element.send_keys("\ue007")  # Enter
    table = until(lambda: driver.find_elements("css selector", "#example-list table"))[0]
    lines = table.text.splitlines()
    assert "model role answer % no / yes" in lines
    assert "gold answer yes" in lines
    assert "majority combined yes ✓ 25 / 75" in lines
    assert "naive student no ✗ 65 / 35" in lines
    assert "ann supervisor yes ✓" in lines
    assert "ben supervisor no vote" in lines


def test_pages_are_turned_and_parts_changed(shown):
    driver = shown(choice_examples(60), hidden=choice_examples(7))
    driver.find_element("id", "example-next").click()
    assert count(driver) == "Rows 26 to 50 of 60"
    assert driver.switch_to.active_element.tag_name == "summary"
    driver.find_element("id", "example-next").click()
    assert not driver.find_element("id", "example-next").is_enabled()
    choose(driver, "part", "test")
    driver.execute_script(
        "const s = document.getElementById('example-part'); s.value = '1'; s.dispatchEvent(new Event('change'))"
    )
    assert count(driver) == "Rows 1 to 7 of 7"


def test_texts_have_scores(shown):
    driver = shown(text_examples())
    pick(driver, "weak wrong, student right (1)")
    assert "student: y ✓" in rows(driver)[0]


def test_hostile_texts_are_shown_as_they_are_and_do_nothing(shown):
    for examples in (choice_examples(8, prompt=HOSTILE), text_examples(prompt=HOSTILE, answer=HOSTILE)):
        driver = shown(examples)
        driver.execute_script("for (const one of document.querySelectorAll('#example-list summary')) one.click()")
        texts = until(lambda: driver.find_elements("css selector", "#example-list .text"))  # noqa: B023
        assert HOSTILE in [text.get_property("textContent") for text in texts]
        assert driver.title == "x: outgrow report"
        assert driver.execute_script("return document.images.length + document.scripts.length") == 2


def test_the_page_fits_phones_and_prints_ten_rows(shown):
    driver = shown(choice_examples(400, prompt="unbroken" * 30))
    emulate(driver, width=360)
    assert driver.execute_script("return document.documentElement.scrollWidth") <= 360
    emulate(driver, media="print")
    visible = "return [...document.querySelectorAll('#example-list > li')].filter((row) => row.offsetHeight).length"
    assert driver.execute_script(visible) == 10
    emulate(driver)
    assert print_pages(driver) <= 6
    driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_ten_thousand_rows_are_in_one_small_file(shown, tmp_path):
    driver = shown(choice_examples(10_000, prompt="the quick brown fox jumps over the lazy dog " * 5 + "{}"))
    assert (tmp_path / "report.html").stat().st_size < 5e6
    assert count(driver) == "Rows 1 to 25 of 10,000"
    assert len(rows(driver)) == 25


@pytest.mark.parametrize("kind", ["two_metrics", "calibrated", "no_gap", "hostile", "bare"])
def test_axe_finds_no_barrier_in_a_report(shown, tmp_path, driver, request, kind):
    advice = [
        Note("advice.learnable", "caution", values={"kappa": None}),
        Note("advice.base", values={"verdict": "unknown"}),
    ]
    notes = [Note("labels.none", "warning", values={"rows": 3, "of": 9})]
    page = report_html(
        "x",
        request.getfixturevalue(kind),
        {"config": {"name": "x", "seeds": 5, "strong": {"model": "m"}}, "versions": {"outgrow": "0"}},
        notes=notes,
        examples={"test": choice_examples(40)},
        advice=advice,
    )
    (tmp_path / "report.html").write_text(page, encoding="utf-8")
    driver.get(f"file://{tmp_path}/report.html")
    until(lambda: driver.find_elements("css selector", "#example-list summary"))
    driver.execute_script(
        "for (const one of document.querySelectorAll('details, #example-list summary')) one.open = true"
    )
    driver.find_element("css selector", "#example-list summary").click()
    assert barriers(driver) == []
