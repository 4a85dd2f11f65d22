"""What the tests of reports share: few iterations of t-SNE, and one browser for all pages."""

from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest
from sklearn import manifold

from tests.report.kinds import browser, show_as


@pytest.fixture(autouse=True)
def _few_iterations(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let t-SNE take its fewest iterations: its 1,000 would be half of the time of a page."""
    monkeypatch.setattr(manifold, "TSNE", partial(manifold.TSNE, max_iter=250))


@pytest.fixture(scope="session")
def _browser() -> Iterator[Any]:
    made = browser()
    yield made
    made.quit()


@pytest.fixture
def driver(_browser: Any, request: pytest.FixtureRequest) -> Any:
    """The browser with a width and a color scheme, without a page and with an empty console."""
    width, dark = getattr(request, "param", (1280, False))
    _browser.switch_to.default_content()
    _browser.get("about:blank")
    show_as(_browser, width, dark=dark)
    _browser.get_log("browser")
    return _browser
