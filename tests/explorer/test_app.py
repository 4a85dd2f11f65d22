"""The explorer in a browser: moving, clicking, uploading and saving; and how it starts and ends."""

import base64
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

import reparam as rp
from reparam.batch import Batch
from reparam.errors import MissingPackageError, OptionError, RunError
from reparam.explorer import explore
from reparam.explorer.app import listening
from tests.support import ROOT, refused

webdriver = pytest.importorskip("selenium.webdriver")

from selenium.webdriver.common.action_chains import ActionChains  # noqa: E402
from selenium.webdriver.common.by import By  # noqa: E402
from selenium.webdriver.common.keys import Keys  # noqa: E402
from selenium.webdriver.support.wait import WebDriverWait  # noqa: E402

QUICK = {"steps": 60, "early_stopping": 0, "progress": False, "lr": 0.003}
BROWSER, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")

in_browser = pytest.mark.skipif(
    BROWSER is None or DRIVER is None, reason="needs chromium and chromedriver"
)


# How it starts


def test_without_nicegui_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "nicegui", None)
    run = rp.fit(rp.variants.vae, rp.data.load("digits"), **{**QUICK, "steps": 1})
    with pytest.raises(MissingPackageError, match=r"pip install 'reparam\[app\]'"):
        explore(run)


def test_a_port_that_is_in_use_is_refused() -> None:
    with listening("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(RunError, match=f"port={port}: another program uses it"):
            listening("127.0.0.1", port)


def test_an_address_that_does_not_exist_is_refused() -> None:
    with pytest.raises(RunError, match=r"host='256.0.0.1'.* cannot be listened at"):
        listening("256.0.0.1", 0)
    with pytest.raises(OptionError, match="at most 65535"):
        listening("127.0.0.1", 70_000)


def test_the_command_line_refuses_a_model_without_latent_variables(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    rp.fit(rp.variants.classifier, rp.data.load("digits"), out=folder, **{**QUICK, "steps": 1})
    refused(f"explore {folder} --port 0", "no latent variables")


# In a browser


class Server:
    """``reparam explore`` in a process of its own.

    Arguments:
        folder: The folder of the run.
    """

    def __init__(self, folder: Path) -> None:
        words = ["explore", str(folder), "--no-browser", "--port=0"]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "reparam", *words],
            stderr=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        assert self.process.stderr is not None
        self.said = []
        for line in iter(self.process.stderr.readline, ""):
            self.said.append(line)
            if found := re.search(r"http://\S+", line):
                self.address = found[0]
                return
        raise AssertionError("".join(self.said))

    def stop(self, number: int = signal.SIGTERM) -> str:
        """End the process, and return what it said after its address."""
        self.process.send_signal(number)
        return self.process.communicate(timeout=30)[1]


class Tab:
    """A headless browser that shows one page.

    Arguments:
        address: The address of the page.
        folder: A folder for its profile and its downloads.
        width: The width of the page, in pixels.
        dark: Whether the user prefers dark pages.
    """

    def __init__(self, address: str, folder: Path, width: int = 1200, dark: bool = False) -> None:
        options = webdriver.ChromeOptions()
        for word in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"):
            options.add_argument(word)
        options.add_argument(f"--user-data-dir={folder / 'profile'}")
        options.add_experimental_option("prefs", {"download.default_directory": str(folder)})
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        options.binary_location = str(BROWSER)
        self.driver = webdriver.Chrome(options, webdriver.ChromeService(str(DRIVER)))
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})
        self.driver.get(address)
        self.wait(lambda: self.find("#example .tiles"))

    def find(self, css: str) -> Any:
        found = self.driver.find_elements(By.CSS_SELECTOR, css)
        return found[0] if found else None

    def text(self, css: str) -> str:
        return str(self.driver.execute_script(f"return document.querySelector('{css}').innerText"))

    def wait(self, until: Callable[[], Any]) -> Any:
        return WebDriverWait(self.driver, 30, poll_frequency=0.1).until(lambda _: until())

    def click(self, section: str, button: str) -> None:
        path = f"//section[@id='{section}']//button[normalize-space()='{button}']"
        found = self.driver.find_element(By.XPATH, path)
        self.driver.execute_script("arguments[0].scrollIntoView({block: 'center'})", found)
        found.click()

    def picture(self) -> np.ndarray:
        """Return the pixels that are decoded at the place."""
        source = self.find(".place img").get_attribute("src").partition("base64,")[2]
        return np.asarray(Image.open(io.BytesIO(base64.b64decode(source))))

    def type(self, element: Any, text: str) -> None:
        element.send_keys(Keys.CONTROL, "a")
        element.send_keys(text)

    def complaints(self) -> list[str]:
        return [entry["message"] for entry in self.driver.get_log("browser")]


def pixels(x: torch.Tensor) -> np.ndarray:
    return (255 * x.clamp(0, 1)).round().to(torch.uint8).numpy()[0]


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[rp.Run, Server]]:
    folder = tmp_path_factory.mktemp("digits") / "run"
    recipe = lambda spec: rp.variants.vae(spec, latent_dim=6)  # noqa: E731
    run = rp.fit(recipe, rp.data.load("digits"), out=folder, **QUICK)
    server = Server(folder)
    yield run, server
    assert server.stop() == ""


@in_browser
@pytest.mark.slow
def test_moving_decodes_and_clicking_picks(digits: tuple[rp.Run, Server], tmp_path: Path) -> None:
    run, server = digits
    tab = Tab(server.address, tmp_path)
    with tab.driver:
        before = tab.picture()
        canvas = tab.find("canvas.marks")
        for x in range(-200, 200, 10):
            ActionChains(tab.driver, 5).move_to_element_with_offset(canvas, x, x // 2).perform()
        tab.wait(lambda: not np.array_equal(tab.picture(), before))
        # What rests is what the sliders show, and what is decoded is p(x | z) there.
        time.sleep(1)
        shown = {
            row.find_element(By.CSS_SELECTOR, "div").text: row.text.split()[-1]
            for row in tab.driver.find_elements(By.CSS_SELECTOR, ".slider")
        }
        assert sorted(shown) == [f"z{j}" for j in range(6)]
        z = torch.tensor([float(shown[f"z{j}"]) for j in range(6)])
        difference = pixels(run.decode(z)[0]).astype(int) - tab.picture()
        assert np.abs(difference).max() <= 8  # the sliders show two decimals
        # Enter picks the nearest example: it becomes the place, and is described.
        canvas.send_keys(Keys.ARROW_LEFT, Keys.ENTER)
        field = tab.find("#example input")
        tab.wait(lambda: field.get_attribute("value") != "0")
        number = field.get_attribute("value")
        tab.wait(lambda: f"example {number}, class" in tab.text("#example"))
        held = run.dataset().some("test", 2000, 0).examples("train", 0)
        example = Batch(held.x[int(number) : int(number) + 1])
        expected = pixels(run.reconstruct(example)[0])
        tab.wait(lambda: np.array_equal(tab.picture(), expected))
        assert tab.complaints() == []


@in_browser
@pytest.mark.slow
def test_a_slice_a_slider_and_the_noise_change_what_is_shown(
    digits: tuple[rp.Run, Server], tmp_path: Path
) -> None:
    _, server = digits
    tab = Tab(server.address, tmp_path)
    with tab.driver:
        before = tab.picture()
        slider = tab.find(".slider .q-slider")
        tab.driver.execute_script("arguments[0].scrollIntoView({block: 'center'})", slider)
        ActionChains(tab.driver).move_to_element_with_offset(slider, 60, 0).click().perform()
        tab.wait(lambda: not np.array_equal(tab.picture(), before))
        tab.find("#space .q-select").click()
        # An option has no text until the menu is open.
        options = lambda: tab.driver.find_elements(By.CSS_SELECTOR, ".q-menu .q-item")  # noqa: E731
        named = lambda: [each for each in options() if each.text == "two dimensions"]  # noqa: E731
        tab.wait(named)[0].click()
        tab.wait(lambda: re.search(r"z\d and z\d, which have", tab.text("#space")))
        noisy = "#noise figure:nth-of-type(2) img"
        shown = tab.find(noisy).get_attribute("src")
        tab.type(tab.find("#noise input[type=number]"), "0.1")
        tab.wait(lambda: tab.find(noisy).get_attribute("src") != shown)
        assert tab.complaints() == []


@in_browser
@pytest.mark.slow
def test_files_are_uploaded_and_saved(digits: tuple[rp.Run, Server], tmp_path: Path) -> None:
    run, server = digits
    tab = Tab(server.address, tmp_path)
    with tab.driver:
        Image.new("L", (30, 30), 255).save(tmp_path / "white.png")
        (tmp_path / "bad.png").write_bytes(b"no picture")
        tab.find("#example .q-expansion-item .q-item").click()
        field = tab.wait(lambda: tab.find("#example input[type=file]"))
        field.send_keys(str(tmp_path / "bad.png"))
        tab.wait(lambda: "bad.png cannot be read as a picture" in tab.text("#example .refused"))
        tab.find("#example input[type=file]").send_keys(str(tmp_path / "white.png"))
        tab.wait(lambda: "white.png" in tab.text("#example"))
        tab.wait(lambda: tab.find("#example .refused").text == "")
        tab.click("example", "NPY")
        saved = tmp_path / "reconstruction.npy"
        tab.wait(saved.exists)
        expected = run.reconstruct(Batch(torch.ones(1, 1, 8, 8)))
        np.testing.assert_allclose(np.load(saved), expected, atol=1e-6)
        assert tab.complaints() == []


@in_browser
@pytest.mark.slow
def test_a_narrow_dark_page_fits(digits: tuple[rp.Run, Server], tmp_path: Path) -> None:
    tab = Tab(digits[1].address, tmp_path, width=390, dark=True)
    with tab.driver:
        assert tab.driver.execute_script("return document.documentElement.scrollWidth") == 390
        color = tab.driver.execute_script("return getComputedStyle(document.body).backgroundColor")
        assert max(json.loads(color.replace("rgb(", "[").replace(")", "]"))) < 60
        assert tab.complaints() == []


@in_browser
@pytest.mark.slow
def test_cells_of_a_table_are_emptied_and_filled_in(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    rows = pd.DataFrame({"age": rng.integers(20, 60, 300), "pay": rng.gamma(2, 9, 300).round(2)})
    rows["sex"] = rng.choice(["F", "M"], 300)
    rows.to_csv(tmp_path / "people.csv", index=False)
    folder = tmp_path / "run"
    rp.fit(rp.variants.vae, rp.data.read(tmp_path / "people.csv"), out=folder, **QUICK)
    server = Server(folder)
    try:
        tab = Tab(server.address, tmp_path)
        with tab.driver:
            assert tab.find("#noise") is None
            field = tab.find("#missing input")
            tab.wait(lambda: field.get_attribute("value"))
            tab.click("missing", "Fill in the empty cells")
            tab.wait(lambda: "No cell is empty" in tab.text("#missing"))
            tab.type(field, Keys.DELETE)
            tab.click("missing", "Fill in the empty cells")
            tab.wait(lambda: re.search(r"age\s+\d+\s+\d+ to \d+", tab.text("#missing")))
            assert tab.complaints() == []
    finally:
        assert server.stop(signal.SIGINT) == ""
    assert server.process.returncode == 0
