"""The map of a page in a browser: pointer, keys, sliders, conditions, and a clean console."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import reparam as rp
from reparam.report import report
from tests.report.kinds import fitted, needs_browser, reported
from tests.support import quick_fit

pytestmark = needs_browser

WIDTHS = {"desktop": 1280, "phone": 390}


def opened(driver: Any, kind: str, folder: Path) -> Any:
    """Return the run of a kind, with its page open in the browser at its map."""
    page = reported(kind).save(folder / "page.html")
    driver.get(page.as_uri())
    wait(driver, "return document.querySelector('.said').textContent.startsWith('the nearest')")
    return fitted(kind)


def wait(driver: Any, condition: str) -> None:
    """Wait until a script returns true."""
    from selenium.webdriver.support.ui import WebDriverWait

    WebDriverWait(driver, 20).until(lambda one: one.execute_script(condition))


def require_clean(driver: Any) -> None:
    """Require a page that fits its window, and an empty console."""
    sizes = "return [document.documentElement.scrollWidth, innerWidth]"
    whole, window = driver.execute_script(sizes)
    assert whole <= window
    assert driver.get_log("browser") == []


def point(driver: Any, x: float, y: float, kind: str = "pointermove", of: str = "mouse") -> None:
    """Send an event of a pointer at a place of the map, in shares of its width and height."""
    driver.execute_script(
        "const [x, y, kind, of] = arguments, map = document.querySelector('canvas.map');"
        "const box = map.getBoundingClientRect();"
        "map.dispatchEvent(new PointerEvent(kind, { pointerType: of, bubbles: true,"
        " clientX: box.left + x * box.width, clientY: box.top + y * box.height }));",
        x,
        y,
        kind,
        of,
    )
    settle(driver)


def settle(driver: Any) -> None:
    """Wait until the page has drawn twice."""
    driver.execute_async_script(
        "const done = arguments[0];"
        "requestAnimationFrame(() => requestAnimationFrame(() => done()));"
    )


def pixels(driver: Any, canvas: str) -> np.ndarray:
    """Return the shades of a canvas, with its height and width."""
    found = driver.execute_script(
        "const canvas = document.querySelector(arguments[0]), copy = canvas.cloneNode();"
        "const context = copy.getContext('2d', { willReadFrequently: true });"
        "context.drawImage(canvas, 0, 0);"
        "const of = context.getImageData(0, 0, canvas.width, canvas.height);"
        "return [canvas.height, canvas.width, Array.from(of.data.filter((_, i) => i % 4 === 0))];",
        canvas,
    )
    height, width, shades = found
    return np.array(shades, float).reshape(height, width)


@pytest.mark.parametrize(
    "driver", [(w, d) for w in WIDTHS.values() for d in (False, True)], indirect=True
)
def test_a_page_fits_its_window_and_leaves_the_console_clean(driver: Any, tmp_path: Path) -> None:
    opened(driver, "images", tmp_path)
    point(driver, 0.3, 0.4)
    require_clean(driver)


@pytest.mark.parametrize("of", ["mouse", "touch"])
def test_the_place_under_the_pointer_is_decoded(driver: Any, of: str, tmp_path: Path) -> None:
    run = opened(driver, "images", tmp_path)
    point(driver, 0.25, 0.3, "pointerdown", of)
    known = driver.execute_script(
        "return JSON.parse(document.querySelector('.explorer script').textContent)"
    )
    # The sliders show the code of the place; it lies in the plane of the map.
    values = driver.execute_script(
        "return Array.from(document.querySelectorAll('.sliders input'), (one) => +one.value)"
    )
    axes = np.array(known["axes"])
    order = [one["index"] for one in known["sliders"]]
    moved = np.array(values) - np.array(known["mean"])[order]
    at, *_ = np.linalg.lstsq(axes[:, order].T, moved, rcond=None)
    step = np.array([(one["high"] - one["low"]) / 200 for one in known["sliders"]])
    assert np.abs(axes[:, order].T @ at - moved).max() <= step.max()
    z = torch.tensor(np.array(known["mean"]) + at @ axes).float()
    expected = 255 * run.decode(z)[0, 0].numpy()
    shown = pixels(driver, "canvas.decoded")
    side = len(shown) // len(expected)
    found = shown[side // 2 :: side, side // 2 :: side][: len(expected), : len(expected)]
    # The place is known to a step of the sliders only.
    assert np.abs(found - expected).max() < 6


def test_a_click_holds_a_place_and_another_releases_it(driver: Any, tmp_path: Path) -> None:
    opened(driver, "two", tmp_path)
    said = "return document.querySelector('.said').textContent"
    point(driver, 0.3, 0.3, "pointerdown")
    held, picture = driver.execute_script(said), pixels(driver, "canvas.decoded")
    assert "held" in held
    point(driver, 0.8, 0.8)
    assert driver.execute_script(said) == held
    assert np.array_equal(pixels(driver, "canvas.decoded"), picture)
    point(driver, 0.8, 0.8, "pointerdown")
    assert "held" not in driver.execute_script(said)
    assert not np.array_equal(pixels(driver, "canvas.decoded"), picture)


def test_the_arrow_keys_move_the_place(driver: Any, tmp_path: Path) -> None:
    from selenium.webdriver.common.keys import Keys

    opened(driver, "images", tmp_path)
    before = pixels(driver, "canvas.decoded")
    canvas = driver.find_element("css selector", "canvas.map")
    for _ in range(12):
        canvas.send_keys(Keys.ARROW_RIGHT)
    settle(driver)
    assert not np.array_equal(pixels(driver, "canvas.decoded"), before)
    require_clean(driver)


def test_a_slider_changes_what_is_decoded(driver: Any, tmp_path: Path) -> None:
    opened(driver, "images", tmp_path)
    before = pixels(driver, "canvas.decoded")
    driver.execute_script(
        "const one = document.querySelector('.sliders input');"
        "one.value = one.max; one.dispatchEvent(new Event('input'));"
    )
    settle(driver)
    assert not np.array_equal(pixels(driver, "canvas.decoded"), before)
    require_clean(driver)


def test_the_class_is_chosen_in_the_page(driver: Any, tmp_path: Path) -> None:
    run = opened(driver, "condition", tmp_path)
    driver.execute_script(
        "document.querySelector('.reset').click();"
        "const one = document.querySelector('.condition select');"
        "one.value = 3; one.dispatchEvent(new Event('input'));"
    )
    settle(driver)
    mean = driver.execute_script(
        "return JSON.parse(document.querySelector('.explorer script').textContent).mean"
    )
    c = torch.nn.functional.one_hot(torch.tensor([3]), 10).float()
    expected = 255 * run.decode(torch.tensor([mean]), c)[0, 0].numpy()
    shown = pixels(driver, "canvas.decoded")
    side = len(shown) // 8
    found = shown[side // 2 :: side, side // 2 :: side][:8, :8]
    assert np.abs(found - expected).max() < 3


def test_rows_are_decoded_with_their_units_and_classes(driver: Any, tmp_path: Path) -> None:
    run = opened(driver, "mixed", tmp_path)
    driver.execute_script("document.querySelector('.reset').click()")
    settle(driver)
    mean = driver.execute_script(
        "return JSON.parse(document.querySelector('.explorer script').textContent).mean"
    )
    cells = driver.execute_script(
        "return Array.from(document.querySelectorAll('table.row tbody tr'),"
        " (row) => Array.from(row.children, (cell) => cell.textContent))"
    )
    decoded = {name: text for name, _, text in cells}
    rows = run.to_table(run.decode(torch.tensor([mean]))).to_pylist()
    (row,) = rows
    assert decoded["sex"] == row["sex"]
    assert float(decoded["age"]) == pytest.approx(row["age"], abs=1)
    assert float(decoded["pay"]) == pytest.approx(row["pay"], rel=0.01)
    assert abs(np.datetime64(decoded["born"]) - np.datetime64(row["born"], "D")) < 5
    require_clean(driver)


def test_the_map_of_neighborhoods_decodes_examples(driver: Any, tmp_path: Path) -> None:
    opened(driver, "images", tmp_path)
    driver.execute_script(
        "const one = document.querySelector('.choice');"
        "one.value = 1; one.dispatchEvent(new Event('change'));"
    )
    point(driver, 0.5, 0.5)
    assert "t-SNE" in driver.execute_script("return document.querySelector('.hint').textContent")
    require_clean(driver)


def test_links_of_a_frame_stay_in_the_frame(driver: Any, tmp_path: Path) -> None:
    frame = reported("numbers")._repr_html_()
    page = tmp_path / "notebook.html"
    page.write_text(f"<!doctype html><title>notebook</title>{frame}", encoding="utf-8")
    driver.get(page.as_uri())
    driver.switch_to.frame(0)
    wait(driver, "return document.querySelector('.said')?.textContent.startsWith('the nearest')")
    driver.execute_script("document.querySelector('nav a[href=\"#map-1\"]').click()")
    wait(driver, "return scrollY > 100")
    assert driver.execute_script("return document.querySelector('h1').textContent").startswith(
        "vae"
    )
    require_clean(driver)


def test_points_of_a_table_have_the_colors_of_a_column(driver: Any, tmp_path: Path) -> None:
    opened(driver, "mixed", tmp_path)
    names = driver.execute_script(
        "return Array.from(document.querySelector('.shade').options, (one) => one.text)"
    )
    assert {"age", "pay", "sex"} <= set(names)

    def colored_by(name: str) -> tuple[np.ndarray, list[str]]:
        driver.execute_script(
            "const choice = document.querySelector('.shade');"
            "choice.value = Array.from(choice.options).find((o) => o.text === arguments[0]).value;"
            "choice.dispatchEvent(new Event('change'));",
            name,
        )
        settle(driver)
        entries = driver.execute_script(
            "return Array.from(document.querySelectorAll('.legend span'), (one) => one.textContent)"
        )
        return pixels(driver, "canvas.map"), entries

    by_sex, classes = colored_by("sex")
    by_pay, ends = colored_by("pay")
    assert classes == ["F", "M"]
    assert len(ends) == 4
    assert ends[1::2] == ["middle", "missing"]
    assert not np.array_equal(by_sex, by_pay)
    require_clean(driver)


@pytest.mark.parametrize("driver", [(1280, False), (1280, True)], indirect=True)
@pytest.mark.parametrize("n_classes", [13, 20, 26])
def test_every_class_has_a_color_of_its_own(driver: Any, n_classes: int, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    y = np.arange(520) % n_classes
    turn = 2 * np.pi * y / n_classes
    x = np.stack([np.cos(turn), np.sin(turn), rng.normal(size=520)], 1)
    x += 0.05 * rng.normal(size=x.shape)
    run = quick_fit(rp.variants.vae, (x, y), latent_dim=2, epochs=3)
    page = report(run, n_samples=2).save(tmp_path / "page.html")
    driver.get(page.as_uri())
    wait(driver, "return document.querySelector('.said').textContent.startsWith('the nearest')")
    colors = "return Array.from(document.querySelectorAll('.legend i'), (i) => i.style.background)"
    shown = driver.execute_script(colors)
    assert len(shown) == len(set(shown)) == min(n_classes, 20)
    told = driver.execute_script("return document.querySelector('.legend').textContent")
    assert ("and 6 more" in told) == (n_classes == 26)
    known = driver.execute_script(
        "return JSON.parse(document.querySelector('.explorer script').textContent)"
    )
    assert len(set(known["colors"])) == n_classes
    require_clean(driver)
