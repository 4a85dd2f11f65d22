"""Measure ``reparam explore`` in a browser: the time from the pointer to the image.

python explorer.py --data-dir DIR --data mnist --seconds 10
python explorer.py --data-dir DIR --data cifar10 --seconds 10

The pointer moves over the map 60 times a second, or as often as the browser takes it. The time of
a movement ends in the frame after the image of its place, or of a newer one, was decoded. Needs
chromium and chromedriver.
"""

import re
import shutil
import subprocess
import sys
import tempfile
import time
from math import cos, sin
from pathlib import Path
from typing import Any

from mnist import arguments, tell
from reparam_throughput import load, make_recipe
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.support.wait import WebDriverWait

import reparam as rp

RATE = 60.0
"""Movements in a second."""

WATCH = """
const marks = document.querySelector("canvas.marks");
const picture = document.querySelector(".place img");
const waiting = [];
window.latencies = [];
window.images = 0;
marks.addEventListener("pointermove", (event) => {
  waiting.push([Number(marks.dataset.serial), event.timeStamp]);
});
new MutationObserver(() => {
  const seen = Number(picture.dataset.serial);
  window.images += 1;
  requestAnimationFrame(() => {
    while (waiting.length && waiting[0][0] <= seen) {
      window.latencies.push(performance.now() - waiting.shift()[1]);
    }
  });
}).observe(picture, { attributes: true, attributeFilter: ["data-serial"] });
const box = marks.getBoundingClientRect();
return [box.left, box.top, box.width, box.height];
"""


def browser(folder: str) -> webdriver.Chrome:
    """Return a headless browser with a profile of its own."""
    options = webdriver.ChromeOptions()
    for word in ("--headless=new", "--no-sandbox", "--disable-gpu", "--window-size=1280,900"):
        options.add_argument(word)
    options.add_argument(f"--user-data-dir={folder}")
    options.binary_location = shutil.which("chromium") or ""
    return webdriver.Chrome(options, Service(shutil.which("chromedriver")))


def moved(driver: webdriver.Chrome, address: str, seconds: float) -> dict[str, Any]:
    """Return the times of all movements over the map, in milliseconds, and the images shown."""
    driver.get(address)
    ready = (
        "return document.querySelector('.place img')?.naturalWidth > 0 && !!window.did_handshake"
    )
    WebDriverWait(driver, 60).until(lambda d: d.execute_script(ready))
    time.sleep(2)
    left, top, width, height = driver.execute_script(WATCH)
    began = time.perf_counter()
    number = 0
    while (now := time.perf_counter() - began) < seconds:
        x = left + width * (0.5 + 0.4 * sin(2.1 * now))
        y = top + height * (0.5 + 0.4 * cos(3.1 * now))
        place = {"type": "mouseMoved", "x": x, "y": y, "pointerType": "mouse"}
        driver.execute_cdp_cmd("Input.dispatchMouseEvent", place)
        number += 1
        time.sleep(max(0.0, began + number / RATE - time.perf_counter()))
    time.sleep(1)
    found = driver.execute_script("return [window.latencies, window.images]")
    return {"latencies": found[0], "n_images": found[1], "n_moves": number}


def main() -> None:
    """Train a few steps, explore, and print the quantiles."""
    options = arguments(__doc__, data="mnist", seconds=10.0)
    data = load(options.data, options.data_dir, 0)
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        rp.fit(make_recipe(data.spec), data, out=run, steps=50, progress=False, seed=options.seed)
        words = ["explore", str(run), "--port=0", "--no-browser", f"--data-dir={options.data_dir}"]
        command = [sys.executable, "-m", "reparam", *words]
        server = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)  # noqa: S603
        try:
            said = iter(server.stderr.readline, "")
            address = next(found[0] for line in said if (found := re.search(r"http://\S+", line)))
            driver = browser(f"{folder}/profile")
            try:
                found = moved(driver, address, options.seconds)
            finally:
                driver.quit()
        finally:
            server.terminate()
            server.wait()
    times = sorted(found["latencies"])
    tell(
        p50_ms=times[len(times) // 2],
        p95_ms=times[int(0.95 * len(times))],
        worst_ms=times[-1],
        n_moves=found["n_moves"],
        n_images=found["n_images"],
        shape=list(data.spec.shape),
        seconds=options.seconds,
    )


if __name__ == "__main__":
    main()
