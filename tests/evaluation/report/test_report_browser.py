"""The report in a real browser, the only proof that the page works."""

import base64
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from aqa.data import Source, read_examples
from aqa.evaluation.results import Report
from aqa.metrics.verdicts import Verdict, Verdicts
from aqa.records import Example, Passage

pytestmark = pytest.mark.slow

LINKED = "가/3 +%"


@pytest.fixture
def page(open_report: Callable, capitals: Report):
    return open_report(capitals)


def focused(page) -> str:
    return page.run("return document.activeElement.dataset.id ?? document.activeElement.id")


def opened(page) -> str:
    return page.run(
        "const d = document.getElementById('detail'); return d.hidden ? '' : d.innerText"
    )


def test_it_asks_nothing_and_complains_of_nothing(page) -> None:
    assert page.browser.title == "left and right can’t be told apart by F1"  # four questions
    assert page.requests() == [page.browser.current_url]
    page.press("j", Keys.ENTER)
    page.browser.find_element(By.CSS_SELECTOR, "summary").click()
    assert page.complaints() == []


def test_scripts_and_styles_of_others_do_not_run(page) -> None:
    page.run(
        "const [script, style] = ['script', 'style'].map((name) => document.createElement(name));"
        "try { script.textContent = 'window.ran = true' } catch { window.refused = true }"
        "style.textContent = 'body { display: none }';"
        "document.body.append(script, style)"
    )
    assert page.run("return [window.ran ?? false, window.refused]") == [False, True]
    assert page.run("return getComputedStyle(document.body).display") == "block"
    assert any("style-src" in told for told in page.complaints())


def test_disagreement_comes_first(page) -> None:
    assert page.ids() == ["q1", "q2", LINKED, "q4"]
    assert page.texts("#count") == ["4 examples"]


@pytest.mark.parametrize(
    ("words", "ids"),
    [
        ("louvre", ["q1"]),
        ("IMG SRC", ["q1"]),
        ("1801", ["q4"]),
        ("노량", [LINKED]),
        ("year which", ["q4"]),
        ("q", ["q1", "q2", "q4"]),
        ("nowhere", []),
    ],
)
def test_search(page, words: str, ids: list[str]) -> None:
    page.press("/", words)
    assert page.ids() == ids
    assert page.texts("#count") == [f"{'' if len(ids) == 4 else f'{len(ids)} of '}4 examples"]
    page.press(Keys.ESCAPE)
    assert len(page.ids()) == 4


@pytest.mark.parametrize(
    ("selector", "choice", "ids"),
    [
        ("#show", "disagree", ["q1", "q2", LINKED]),
        ("#show", "right", ["q4"]),
        ("#show", "wrong", []),
        ("#show", "1<0", ["q1", "q2", LINKED]),
        ("#show", "0<1", []),
        ("[data-system='1']", "extra_words", [LINKED]),
        ("[data-system='0']", "exact", ["q1", "q2", LINKED, "q4"]),
    ],
)
def test_filters(page, selector: str, choice: str, ids: list[str]) -> None:
    field = page.browser.find_element(By.CSS_SELECTOR, f"#examples {selector}")
    field.find_element(By.CSS_SELECTOR, f"option[value='{choice}']").click()
    assert page.ids() == ids
    if len(ids) < 4:
        page.browser.find_element(By.ID, "clear").click()
        assert len(page.ids()) == 4


def test_a_count_of_mistakes_shows_its_examples(page) -> None:
    found = "[data-system='1'][data-kind='answered_unanswerable']"
    page.browser.find_element(By.CSS_SELECTOR, found).click()
    assert page.ids() == ["q2"]
    assert focused(page) == "q2"


def test_a_group_of_a_slice_shows_its_examples(page) -> None:
    groups = page.texts("[data-slice='language']")
    assert groups[:2] == ["ko", "other"]
    page.browser.find_element(By.CSS_SELECTOR, "[data-slice][data-group='ko']").click()
    assert page.ids() == [LINKED]
    assert page.texts("#count") == ["1 of 4 examples, language ko"]
    page.browser.find_element(By.ID, "clear").click()
    assert page.texts("#count") == ["4 examples"]


def test_a_pair_of_kinds_shows_its_examples(page) -> None:
    heads = page.texts("#crossed thead th")
    assert heads == [
        "exact",
        "extra words",
        "wrong, not in the evidence",
        "answered the unanswerable",
    ]
    assert page.texts("#crossed tbody th") == ["exact"]
    assert page.texts("#crossed tbody td") == ["1", "1", "1", "1"]
    page.browser.find_elements(By.CSS_SELECTOR, "#crossed .count")[1].click()
    assert page.ids() == [LINKED]
    choice = page.browser.find_element(By.CSS_SELECTOR, "#crossed select")
    choice.find_element(By.CSS_SELECTOR, "option[value='1']").click()
    assert len(page.texts("#crossed tbody th")) == 4  # now right by right
    assert page.complaints() == []


@pytest.mark.parametrize(
    ("column", "ids"),
    [
        ("number", ["q1", "q2", LINKED, "q4"]),
        ("question", ["q1", "q4", "q2", LINKED]),
        ("gold", ["q2", "q4", "q1", LINKED]),
        ("1", ["q1", "q2", LINKED, "q4"]),
    ],
)
def test_sorting_both_ways(page, column: str, ids: list[str]) -> None:
    head = page.browser.find_element(By.CSS_SELECTOR, f"[data-sort='{column}']")
    button = head.find_element(By.TAG_NAME, "button")
    button.click()
    assert page.ids() == ids
    assert head.get_attribute("aria-sort") == "ascending"
    button.click()
    assert head.get_attribute("aria-sort") == "descending"
    falling = ["q4", LINKED, "q1", "q2"] if column == "1" else ids[::-1]  # a stable sort
    assert page.ids() == falling


def test_the_keyboard_alone_is_enough(page) -> None:
    page.press("j")
    assert focused(page) == "q1"
    page.press("j", Keys.ARROW_DOWN)
    assert focused(page) == LINKED
    page.press("k")
    assert focused(page) == "q2"
    page.press(Keys.END)
    assert focused(page) == "q4"
    page.press(Keys.HOME, Keys.ENTER)
    assert focused(page) == "detail"
    assert "Where is the Louvre?" in opened(page)
    page.press("j")
    assert "Who wrote it?" in opened(page)
    page.press(Keys.ESCAPE)
    assert opened(page) == ""
    assert focused(page) == "q2"
    page.press("/")
    assert focused(page) == "search"
    page.press("jk/", Keys.ESCAPE, Keys.ESCAPE)  # typed, cleared, left
    assert focused(page) == "q1"


@pytest.mark.parametrize(("key", "code"), [("ㅓ", "KeyJ"), ("Process", "KeyJ"), ("ㅏ", "KeyK")])
def test_a_korean_keyboard_in_hangul_mode(page, key: str, code: str) -> None:
    page.press("j", "j")
    page.run(
        "const told = { key: arguments[0], code: arguments[1], bubbles: true };"
        "document.activeElement.dispatchEvent(new KeyboardEvent('keydown', told))",
        key,
        code,
    )
    assert focused(page) == {"KeyJ": LINKED, "KeyK": "q1"}[code]


def test_texts_stay_texts(page) -> None:
    page.press("j", Keys.ENTER)
    assert "<img src=x onerror=alert(1)>" in opened(page)
    assert page.run("return document.images.length") == 0


NASTY = "</script><script>window.ran=1</script><!-- <script> &lt; \u2028 \u2029 ]]>"


def test_a_passage_that_would_end_the_script(open_report: Callable, score: Callable) -> None:
    title = "</title><style>*{display:none}</style>"
    example = Example(NASTY, NASTY, (Passage(NASTY + " the end", title),), (NASTY,))
    report = score({"a": {NASTY: NASTY}, "b": {NASTY: "x"}}, [example], slices=["language"])
    page = open_report(report, [example])
    page.press("j", Keys.ENTER)
    assert page.run("return [window.ran ?? 0, document.scripts.length]") == [0, 4]
    assert page.texts("#detail h2") == [NASTY]
    assert page.texts("#detail .text") == [NASTY + " the end"]
    assert page.texts("#detail .text mark") == [NASTY]
    assert page.texts("summary .title") == [title]
    assert page.complaints() == []


def test_answers_are_marked_in_the_evidence(page) -> None:
    page.press("j", Keys.ENTER)
    first, second = page.browser.find_elements(By.CSS_SELECTOR, "#detail details")
    assert not first.get_attribute("open")
    assert page.texts("#detail .text mark") == ["in Paris"]
    assert page.texts("#detail .text .said.s0") == ["Paris"]
    assert page.texts("#detail .text .said.s1") == []
    assert "read by left" in first.text
    assert "read by" not in second.text
    notes = page.texts("#detail .notes")
    assert "found in passage 1" in notes[0]
    assert "read 2 passages, 90 characters" in notes[0]
    assert "confidence -0.25" in notes[0]
    assert "found in no passage word for word" in notes[1]
    page.browser.find_element(By.CLASS_NAME, "unfold").click()
    assert first.get_attribute("open")
    assert second.get_attribute("open")


def test_what_a_judge_said(open_report: Callable, capitals: Report) -> None:
    said = (Verdict("partially_correct", "<b>Nearly</b>."), Verdict(None, "refused"))
    verdicts = Verdicts((said, (), (), ()), (0, 100, 0, 0), 2, "model:m")
    left, right = capitals.systems
    page = open_report(replace(capitals, systems=(replace(left, verdicts=verdicts), right)))
    page.press("j", Keys.ENTER)
    notes = page.texts("#detail .notes")
    assert "partially correct, says the judge: <b>Nearly</b>." in notes[0]
    assert "no verdict: refused" in notes[0]
    assert "verdict" not in notes[1]
    assert "judge" not in notes[1]
    page.press("j")
    assert "judge" not in "".join(page.texts("#detail .notes"))


def test_an_answer_within_a_number_or_before_a_particle(page) -> None:
    page.press("j", Keys.END, Keys.ENTER)
    assert page.texts("#detail .text mark") == ["1801"]
    page.press("k")
    assert page.texts("#detail .text mark") == ["노량 해전"]
    assert page.texts("#detail .text mark .said.s0") == ["노량 해전"]
    assert page.texts("#detail .text .said.s1") == ["노량 해전", "에서"]
    assert page.run("return document.querySelector('#detail .text').lang") == "ko"


@pytest.mark.parametrize("link", ["#id=가/3 +%", "#id=%EA%B0%80%2F3%20%2B%25"])
def test_a_link_to_an_example(open_report: Callable, capitals: Report, link: str) -> None:
    page = open_report(capitals, link=link)
    assert "이순신은 어디에서" in opened(page)
    page.run("location.hash = '#id=q2'")
    page.wait_until(lambda: "Who wrote it?" in opened(page))
    page.press("k")
    assert page.browser.current_url.endswith("#id=q1")
    page.press(Keys.ESCAPE)
    assert "#" not in page.browser.current_url


def test_a_link_to_no_example(open_report: Callable, capitals: Report) -> None:
    page = open_report(capitals, link="#id=elsewhere")
    assert page.texts("#count") == ["No example has the id elsewhere"]
    assert opened(page) == ""


def test_without_questions_and_passages(open_report: Callable, capitals: Report) -> None:
    page = open_report(capitals, examples=[])
    page.press("j", Keys.ENTER)
    assert page.texts("#detail h2") == ["q1"]
    assert page.texts("#detail details") == []
    assert page.complaints() == []


def test_one_system(open_report: Callable, score: Callable) -> None:
    report = score({"a": {"q1": "Paris", "q4": "1802"}}, EXAMPLES)
    page = open_report(report, EXAMPLES)
    assert page.browser.title == "a reaches 50.0 F1"
    assert page.ids() == ["q4", "q1"]
    assert not page.browser.find_element(By.ID, "show").is_displayed()
    assert page.complaints() == []


EXAMPLES = [Example("q1", "Where?", (), ("Paris",)), Example("q4", "When?", (), ("1801",))]


@pytest.fixture
def crowd(open_report: Callable, score: Callable):
    """Nine systems, one with an unbreakable name and with an answer of many lines."""
    said = {"predicted_answer": "Paris " * 500, "confidence": 1}
    names = ["a_reader_whose_name_does_not_end_and_holds_no_space" * 2, *"bcdefghi"]
    answers = {name: {"q1": said, "q5": said} for name in names}
    report = score(answers, EXAMPLES, slices=["language"])
    return open_report(report, EXAMPLES, link="#id=q1")


@pytest.mark.parametrize(("media", "width"), [("screen", 500), ("screen", 390), ("print", 680)])
def test_nothing_sticks_out_on_a_narrow_window_or_on_paper(crowd, media: str, width: int) -> None:
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    crowd.browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    crowd.browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": media})
    wide = crowd.run("return document.documentElement.scrollWidth")
    cut_off = crowd.run(
        "return [...document.querySelectorAll('main td, main th, .row .cell')].filter("
        "(cell) => cell.getBoundingClientRect().right > innerWidth).map((cell) => cell.textContent)"
    )
    answer = crowd.run(
        "const said = document.querySelector('.said-text .answer');"
        "return said.scrollHeight > said.clientHeight"
    )
    crowd.browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})
    crowd.browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    assert wide <= width
    if width == 390:
        assert cut_off == []
    assert answer is (media == "screen")  # which scrolls, unlike paper


def test_names_are_shown_whole_beside_their_figures(crowd) -> None:
    """Not only how they begin, which is often the same for all."""
    cut_off = crowd.run(
        "return [...document.querySelectorAll('.panel tbody th')].filter("
        "(head) => head.scrollWidth > head.clientWidth).map((head) => head.textContent)"
    )
    assert cut_off == []


def test_a_ninth_system_has_a_sign_of_its_own(crowd) -> None:
    signs = crowd.run(
        "return [...document.querySelectorAll('#head i, .kinds thead i')].map((i) => i.className)"
    )
    assert len(signs) == 18
    assert len(set(signs)) == 9


@pytest.mark.parametrize(("scheme", "is_dark"), [("light", False), ("dark", True)])
def test_light_and_dark(page, scheme: str, is_dark: bool) -> None:
    feature = {"name": "prefers-color-scheme", "value": scheme}
    page.browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})
    colours = page.run(
        "const style = getComputedStyle(document.body); return [style.backgroundColor, style.color]"
    )
    page.browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
    paper, ink = (sum(map(int, colour[4:-1].split(","))) for colour in colours)
    assert (paper < ink) is is_dark
    assert abs(paper - ink) > 450


def test_print(page) -> None:
    printed = page.browser.execute_cdp_cmd("Page.printToPDF", {"printBackground": True})
    assert base64.b64decode(printed["data"]).startswith(b"%PDF")
    page.browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    page.run("dispatchEvent(new Event('beforeprint'))")
    places = page.run(
        "return [...document.querySelectorAll('.row')].map((row) => row.getBoundingClientRect())"
        ".map((box) => [box.top, box.bottom])"
    )
    tools = page.run("return getComputedStyle(document.querySelector('.tools')).display")
    page.run("dispatchEvent(new Event('afterprint'))")
    page.browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})
    assert tools == "none"
    assert len(places) == 4
    ends = [end for place in places for end in place]
    assert ends == sorted(ends)  # one below another
    assert page.ids() == ["q1", "q2", LINKED, "q4"]


def test_korquad(shared_data: Path, open_report: Callable, score: Callable) -> None:
    """All of KorQuAD's dev set: every 5th gold answer gets a particle, every 7th is empty."""
    source = Source(str(shared_data / "korquad1" / "KorQuAD_v1.0_dev.json"))
    examples = list(read_examples(source))
    gold = {example.id: example.answers[0] for example in examples}
    answers = {
        "gold": gold,
        "particles": {
            key: text + "에서" * (n % 5 == 0) for n, (key, text) in enumerate(gold.items())
        },
        "silent": {key: text * (n % 7 != 0) for n, (key, text) in enumerate(gold.items())},
    }
    page = open_report(score(answers, examples), examples)
    assert page.browser.title == "gold answers best: 100.0 F1"
    counts = {
        (button.get_attribute("data-system"), button.get_attribute("data-kind")): button.text
        for button in page.browser.find_elements(By.CSS_SELECTOR, ".kinds .count")
    }
    assert counts == {
        ("0", "exact"): "5,774",
        ("1", "exact"): "4,619",  # 5,774 - 1,155
        ("1", "extra_words"): "1,155",  # 5,774 / 5
        ("2", "exact"): "4,949",
        ("2", "empty"): "825",  # 5,774 / 7
    }
    assert page.ids()[:3] == [list(gold)[n] for n in (0, 7, 14)]
    page.run("document.querySelector('#show').value = 'right'")
    page.run("document.querySelector('#show').dispatchEvent(new Event('change'))")
    both = sum(n % 5 > 0 and n % 7 > 0 for n in range(5774))
    assert page.texts("#count") == [f"{both:,} of 5,774 examples"]
    page.press("j", Keys.ENTER)
    assert page.texts("#detail .text mark .said") != []
    assert page.complaints() == []


MANY = 10_000


def test_many_examples_open_and_scroll(open_report: Callable, score: Callable) -> None:
    text = "이 글은 {0}번 강에 관한 것이다. " * 25
    examples = [
        Example(
            f"e{n}",
            f"{n}번 강은 어디에서 시작하는가?",
            (Passage(text.format(n), f"강 {n}"),),
            (f"{n}번",),
        )
        for n in range(MANY)
    ]
    answers = {
        name: {f"e{n}": f"{n}번" if n % step else "모름" for n in range(MANY)}
        for name, step in (("a", 3), ("b", 5), ("c", 7))
    }
    report = score(answers, examples, metrics=["em"])
    page = open_report(report, examples)
    assert page.texts("#count") == ["10,000 examples"]
    most = page.browser.execute_async_script(
        """
        const done = arguments[0];
        let frames = 0, most = 0;
        const step = () => {
          most = Math.max(most, document.querySelectorAll(".row").length);
          window.scrollBy(0, 6000);
          frames += 1;
          if (frames < 100) requestAnimationFrame(step);
          else done(most);
        };
        requestAnimationFrame(step);
        """
    )
    assert most < 60  # rows rendered at any time, which keeps it fast
    page.press("/", "9999")
    assert page.ids() == ["e9999"]
    page.press(Keys.ENTER, Keys.ENTER)
    assert page.texts("#detail .title") == ["강 9999"]
    assert page.complaints() == []
