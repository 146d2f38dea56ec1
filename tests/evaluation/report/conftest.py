"""Reports to open, and a real browser."""

import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from selenium.webdriver import Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.support.wait import WebDriverWait

from aqa.evaluation.inputs import Scoring
from aqa.evaluation.report import write_report
from aqa.evaluation.results import Report
from aqa.evaluation.scoring import evaluate
from aqa.progress import SilentProgress
from aqa.records import Example, Passage

Answers = dict[str, dict[str, Any]]  # by system, then by id
Score = Callable[..., Report]
PATIENCE = 300  # seconds, on a busy machine


@pytest.fixture
def score(tmp_path: Path) -> Score:
    """Evaluate systems' answers, given as in their files."""

    def run(answers: Answers, examples: Sequence[Example], **scoring: Any) -> Report:
        files = []
        for name, rows in answers.items():
            files.append(tmp_path / f"{name}.json")
            files[-1].write_text(json.dumps(rows), encoding="utf-8")
        return evaluate(
            files, examples, Scoring(**{"metrics": ["em", "f1"], **scoring}), SilentProgress()
        )

    return run


CAPITALS = [
    Example(
        "q1",
        "Where is the Louvre?",
        (
            Passage("The Louvre stands in Paris, on the right bank.", "Louvre", "d7", 12.5, 1),
            Passage("Lyon has other museums.", "Lyon", "d9", 3.0, 2),
        ),
        ("Paris", "in Paris"),
    ),
    Example("q2", "Who wrote it?", (Passage("It is not known.", "It"),), ()),
    Example(
        "가/3 +%",
        "이순신은 어디에서 전사하였는가?",
        (Passage("이순신은 노량 해전에서 전사하였다.", "이순신"),),
        ("노량 해전",),
    ),
    Example("q4", "Which year?", (Passage("In 1801 and 11801.", "Years"),), ("1801",)),
]
READ_BOTH = {"ranks": [1, 2], "ids": ["d7", "d9"], "characters": 90, "gold_in_evidence": True}
READERS: Answers = {
    "left": {
        "q1": {"predicted_answer": "Paris", "evidence": READ_BOTH, "confidence": -0.25},
        "q2": {"predicted_answer": "", "abstained": True},
        "가/3 +%": {"predicted_answer": "노량 해전"},
        "q4": {"predicted_answer": "1801"},
    },
    "right": {
        "q1": {
            "predicted_answer": "<img src=x onerror=alert(1)>",
            "evidence": {"ranks": [2], "characters": 24, "gold_in_evidence": False},
        },
        "q2": {"predicted_answer": "Lyon"},
        "가/3 +%": {"predicted_answer": "노량 해전에서"},
        "q4": {"predicted_answer": "1801"},
    },
}


@pytest.fixture
def capitals(score: Score) -> Report:
    """Two systems and four questions, with every kind of troublesome text."""
    return score(READERS, CAPITALS, profile="mixed", slices=["language"])


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chrome]:
    """Start headless Chromium, logging its network requests and messages."""
    binary, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if binary is None or driver is None:
        pytest.skip("needs Chromium: apt-get install chromium chromium-driver")
    options = ChromeOptions()
    options.binary_location = binary
    for word in ("headless=new", "no-sandbox", "disable-dev-shm-usage", "disable-gpu"):
        options.add_argument(f"--{word}")
    options.add_argument("--window-size=1400,900")
    options.add_argument(f"--user-data-dir={tmp_path_factory.mktemp('profile')}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    with Chrome(options, Service(driver)) as chrome:
        chrome.set_script_timeout(PATIENCE)
        yield chrome


class Page:
    """An open report, and what happened when it was opened."""

    def __init__(self, browser: Chrome, address: str) -> None:
        self.browser = browser
        browser.get("about:blank")  # otherwise a link within one page would not reload it
        for kind in ("browser", "performance"):
            browser.get_log(kind)
        browser.get(address)
        # On a busy machine the driver may return before the page is loaded.
        is_whole = "return location.protocol !== 'about:' && document.readyState === 'complete'"
        self.wait_until(lambda: self.run(is_whole))

    def run(self, script: str, *arguments: object) -> Any:
        return self.browser.execute_script(script, *arguments)

    def wait_until(self, reached: Callable[[], object]) -> None:
        WebDriverWait(self.browser, PATIENCE).until(lambda _: reached())

    def texts(self, selector: str) -> list[str]:
        found = "[...document.querySelectorAll(arguments[0])].map((item) => item.textContent)"
        return self.run(f"return {found}", selector)

    def ids(self) -> list[str]:
        """The table's examples, from the top."""
        found = "[...document.querySelectorAll('.row')]"
        by_place = "sort((a, b) => a.ariaRowIndex - b.ariaRowIndex)"
        return self.run(f"return {found}.{by_place}.map((row) => row.dataset.id)")

    def press(self, *keys: str) -> None:
        for key in keys:
            self.browser.switch_to.active_element.send_keys(key)

    def complaints(self) -> list[str]:
        return [entry["message"] for entry in self.browser.get_log("browser")]

    def requests(self) -> list[str]:
        messages = (json.loads(log["message"]) for log in self.browser.get_log("performance"))
        return [
            message["message"]["params"]["request"]["url"]
            for message in messages
            if message["message"]["method"] == "Network.requestWillBeSent"
        ]


OpenReport = Callable[..., Page]


@pytest.fixture
def open_report(browser: Chrome, tmp_path: Path) -> OpenReport:
    """Write a report and open it, at a link within it."""

    def run(report: Report, examples: Sequence[Example] = CAPITALS, link: str = "") -> Page:
        path = tmp_path / "report.html"
        write_report(path, report, examples, "capitals.json")
        return Page(browser, path.as_uri() + link)

    return run
