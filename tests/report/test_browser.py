"""The page in headless Chromium, as a file. What it cannot load is an error of the console."""

import shutil

import pytest

from keras_fcn import LabelSpec

from .cases import examples, report_on

webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
from selenium.webdriver.common.by import By  # noqa: E402
from selenium.webdriver.common.keys import Keys  # noqa: E402

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
pytestmark = pytest.mark.skipif(
    not (CHROMIUM and DRIVER), reason="chromium and chromedriver (chromium-driver) are missing"
)

NUM_IMAGES = 24


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    made = report_on(examples(NUM_IMAGES))
    report, evaluations, details = made
    return report.save(tmp_path_factory.mktemp("report"), evaluations, details), details


@pytest.fixture(scope="module")
def browser():
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    with webdriver.Chrome(options, webdriver.ChromeService(DRIVER)) as driver:
        yield driver


@pytest.fixture
def page(browser, made):
    """The page, freshly opened; at the end the console must be empty."""
    resize(browser, 1280, 900)
    browser.get(made[0].as_uri())
    yield browser
    assert browser.get_log("browser") == []


def resize(browser, width, height):
    size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)


def prefer(browser, scheme):
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})


def find(page, selector):
    return page.find_element(By.CSS_SELECTOR, selector)


def column(page, table, index):
    """The texts of a column from top to bottom, as they are shown."""
    rows = page.find_elements(By.CSS_SELECTOR, f"#{table} tbody tr")
    return [
        row.find_elements(By.CSS_SELECTOR, "th, td")[index].text
        for row in rows
        if row.is_displayed()
    ]


def ground(page):
    color = find(page, "body").value_of_css_property("background-color")
    return [int(part) for part in color[color.index("(") + 1 : -1].split(",")[:3]]


def test_it_renders(page, made):
    assert "streets, val" in find(page, "h1").text
    details = made[1]["segmentation"]
    cards = [card.text.split("\n") for card in page.find_elements(By.CSS_SELECTOR, ".card")]
    values = {name: value for value, name, _ in cards}
    assert values["boundary IoU"] == f"{details['boundary_iou']:.3f}"
    assert values["calibration error"] == f"{details['calibration']['ece']:.3f}"
    assert len(page.find_elements(By.CSS_SELECTOR, "#s0-worst .example")) == 20
    loaded = "return [...document.images].map(image => image.complete && image.naturalWidth > 0)"
    assert len(page.execute_script(loaded)) > 80
    assert all(page.execute_script(loaded))
    charts = page.find_elements(By.CSS_SELECTOR, "svg.chart")
    assert all(chart.size["height"] > 100 for chart in charts) and len(charts) == 2


def test_the_links_of_the_navigation_lead_to_sections(page):
    targets = [
        link.get_attribute("href").partition("#")[2]
        for link in page.find_elements(By.CSS_SELECTOR, "nav a")
    ]

    assert len(targets) == 10
    assert all(page.find_elements(By.ID, target) for target in targets)


def test_tables_sort_by_their_columns(page, made):
    rows = made[1]["segmentation"]["per_image"]
    by_iou = sorted(f"{row['mean_iou']:.3f}" for row in rows)
    assert column(page, "s0-image-table", 1) == by_iou  # the worst first
    heading = find(page, "#s0-image-table th:nth-child(2)")
    assert heading.get_attribute("aria-sort") == "ascending"

    heading.find_element(By.TAG_NAME, "button").click()

    assert column(page, "s0-image-table", 1) == by_iou[::-1]
    assert heading.get_attribute("aria-sort") == "descending"
    find(page, "#s0-image-table th:nth-child(1) button").click()
    assert column(page, "s0-image-table", 0) == sorted(row["id"] for row in rows)
    assert heading.get_attribute("aria-sort") == "none"


def test_tables_sort_from_the_keyboard(page):
    button = find(page, "#s0-class-table th:nth-child(2) button")
    button.send_keys(Keys.ENTER)
    first = column(page, "s0-class-table", 1)
    button.send_keys(Keys.SPACE)

    assert first == sorted(first, reverse=True)
    assert column(page, "s0-class-table", 1) == first[::-1]


def test_the_table_of_images_is_filtered(page):
    find(page, "input[type=search]").send_keys("street/0007")

    assert column(page, "s0-image-table", 0) == ["street/0007"]


def test_an_image_opens_large(page):
    small = find(page, "#s0-worst .example img")
    width, address = small.size["width"], small.get_attribute("src")

    small.click()

    viewer = find(page, "dialog[open]")
    pictures = viewer.find_elements(By.TAG_NAME, "img")
    assert [of.text for of in viewer.find_elements(By.TAG_NAME, "figcaption")] == [
        "Image",
        "Label",
        "Prediction",
        "Difference",
    ]
    assert pictures[0].get_attribute("src") == address
    assert pictures[0].size["width"] > 2 * width
    find(page, "#close").click()
    assert not viewer.is_displayed()


def test_images_open_and_change_from_the_keyboard(page):
    buttons = page.find_elements(By.CSS_SELECTOR, "#s0-worst .example")
    names = [button.find_element(By.CLASS_NAME, "id").text for button in buttons[:2]]
    buttons[0].send_keys(Keys.ENTER)
    shown = [find(page, "#viewer-title").text]
    active = page.switch_to.active_element
    active.send_keys(Keys.ARROW_RIGHT)
    shown.append(find(page, "#viewer-title").text)
    active.send_keys(Keys.ARROW_LEFT)
    shown.append(find(page, "#viewer-title").text)
    active.send_keys(Keys.ESCAPE)

    assert shown == [*names, names[0]]
    assert not find(page, "#viewer").is_displayed()
    assert page.switch_to.active_element == buttons[0]


def test_images_of_the_table_open(page):
    link = find(page, "#s0-image-table button.open")
    name = link.text

    link.click()

    assert find(page, "#viewer-title").text == name


def test_it_follows_the_system_in_light_and_dark_and_can_be_switched(page):
    prefer(page, "light")
    light = ground(page)
    prefer(page, "dark")
    dark = ground(page)
    ink = find(page, "h1").value_of_css_property("color")
    find(page, "#theme").click()
    switched = ground(page)
    find(page, "#theme").click()

    assert min(light) > 230 and max(dark) < 40
    assert "230, 232, 234" in ink
    assert switched == light and ground(page) == dark
    prefer(page, "light")


@pytest.mark.parametrize("width", [360, 800])
def test_narrow_windows_scroll_tables_but_not_the_page(page, width):
    resize(page, width, 800)

    root = "document.documentElement"
    assert page.execute_script(f"return {root}.scrollWidth <= {root}.clientWidth")


def test_names_from_files_run_nothing(browser, tmp_path):
    hostile = "</title></script><img src=x onerror=alert(1)><script>alert(2)</script>\"'"
    labels = LabelSpec((hostile, "green", "blue"))
    made = report_on(
        [{**example, "id": f"{hostile}{i}"} for i, example in enumerate(examples(2))], labels
    )

    browser.get(made[0].save(tmp_path, *made[1:]).as_uri())

    find(browser, "#s0-worst .example").click()
    assert find(browser, "#viewer-title").text[:-1] == hostile
    assert hostile in find(browser, "#s0-class-table tbody th").text
    assert browser.find_elements(By.CSS_SELECTOR, "[onerror], img[src=x]") == []
    assert len(browser.find_elements(By.TAG_NAME, "script")) == 2
    assert browser.get_log("browser") == []  # an alert that is open would fail all of these
