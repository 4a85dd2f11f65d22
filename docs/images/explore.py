"""Make the pictures of docs/how-to/explore.md: a page on a computer, and on a phone at night.

    python docs/images/explore.py --data-dir DIR

Needs MNIST, chromium and chromedriver.
"""

import argparse
import base64
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By

import reparam as rp

PICTURES = {"explore.png": (1100, 1180, "light"), "explore-phone.png": (390, 844, "dark")}
"""The width, the height and the color scheme of each picture."""


def taken(address: str, place: Path, width: int, height: int, scheme: str, profile: str) -> None:
    """Open the page, pick two examples, move the pointer, and write a picture."""
    options = webdriver.ChromeOptions()
    for word in ("--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"):
        options.add_argument(word)
    options.add_argument(f"--user-data-dir={profile}")
    options.binary_location = shutil.which("chromium") or ""
    driver = webdriver.Chrome(options, Service(shutil.which("chromedriver")))
    try:
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        seen = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
        driver.execute_cdp_cmd("Emulation.setEmulatedMedia", seen)
        driver.get(address)
        time.sleep(5)
        canvas = driver.find_element(By.CSS_SELECTOR, "canvas.marks")
        wide, high = canvas.size["width"], canvas.size["height"]
        for x, y in ((-0.3, 0.1), (0.15, -0.2)):
            place_in = (int(x * wide), int(y * high))
            ActionChains(driver).move_to_element_with_offset(canvas, *place_in).perform()
            canvas.send_keys("\ue007")  # Enter picks the nearest example
            time.sleep(2)
        near = (int(-0.1 * wide), int(0.15 * high))
        ActionChains(driver).move_to_element_with_offset(canvas, *near).perform()
        driver.execute_script("document.activeElement.blur(); scrollTo(0, 0)")
        time.sleep(1)
        shot = driver.execute_cdp_cmd("Page.captureScreenshot", {"format": "png"})
        place.write_bytes(base64.b64decode(shot["data"]))
    finally:
        driver.quit()


def main() -> None:
    """Train a model with two latents, explore it, and write the pictures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data-dir", required=True)
    data_dir = parser.parse_args().data_dir
    here = Path(__file__).parent
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "mnist-vae-1"
        data = rp.data.load("mnist", data_dir=data_dir)
        rp.fit(rp.variants.vae, data, out=run, latent_dim=2, budget="45s", progress=False)
        words = ["explore", str(run), "--port=0", "--no-browser"]
        command = [sys.executable, "-m", "reparam", *words]
        server = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)  # noqa: S603
        try:
            lines = iter(server.stderr.readline, "")
            address = next(found[0] for line in lines if (found := re.search(r"http://\S+", line)))
            for name, (width, height, scheme) in PICTURES.items():
                taken(address, here / name, width, height, scheme, f"{folder}/{name}-profile")
        finally:
            server.terminate()
            server.wait()


if __name__ == "__main__":
    main()
