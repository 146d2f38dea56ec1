"""Contract thresholds: valid bounds, clusters, ties, and promises that data can't support."""

import random
import re

import pytest
from scipy import stats

from aqa.errors import DataError
from aqa.evaluation.risk_control import Promise, Threshold, choose_threshold
from aqa.metrics.statistics.clusters import Clusters

PROMISE = Promise(risk=5)


def choose(confidences: list[float | None], wrong: list[bool], clusters: Clusters) -> Threshold:
    return choose_threshold(confidences, wrong, clusters, PROMISE)


def test_a_reader_that_knows_its_errors_stays_silent_about_them() -> None:
    """The most confident 800 are right, and every second one of the others is wrong."""
    confidences = [1 - at / 1000 for at in range(1000)]
    wrong = [at >= 800 and at % 2 == 0 for at in range(1000)]
    found = choose(confidences, wrong, Clusters.apart(1000))
    assert 80 <= found.coverage < 90
    assert found.error < 5
    assert found.confidence == pytest.approx(1 - found.coverage / 100, abs=0.002)


def test_the_last_threshold_passes_the_exact_binomial_test() -> None:
    chance = random.Random(2)
    confidences = [chance.random() for _ in range(2000)]
    wrong = [chance.random() > 0.8 + value / 4 for value in confidences]
    found = choose(confidences, wrong, Clusters.apart(2000))
    kept = [bad for value, bad in zip(confidences, wrong, strict=True) if value >= found.confidence]
    assert len(kept) == round(found.coverage * 20)
    assert stats.binomtest(sum(kept), len(kept), 0.05, "less").pvalue <= 0.05


def test_equal_confidences_are_answered_together() -> None:
    found = choose([1.0] * 300 + [0.0] * 300, [False] * 300 + [True] * 300, Clusters.apart(600))
    assert (found.confidence, found.coverage) == (1.0, 50.0)


def test_an_answer_without_confidence_is_withheld() -> None:
    found = choose([1.0] * 300 + [None] * 100, [False] * 400, Clusters.apart(400))
    assert found.coverage == 75.0


def test_what_clusters_share_tells_less() -> None:
    """Ten articles of a hundred questions are less evidence than a thousand questions."""
    confidences: list[float | None] = [1.0] * 1000
    wrong = [at < 30 for at in range(1000)]  # all in the first article
    assert choose(confidences, wrong, Clusters.apart(1000)).coverage == 100
    with pytest.raises(DataError, match="can't be promised by 1,000 questions in 10 clusters; "):
        choose(confidences, wrong, Clusters.of([at // 100 for at in range(1000)], "title"))


def test_too_few_questions_say_how_many_would_do() -> None:
    with pytest.raises(DataError) as told:
        choose([1.0] * 50, [False] * 50, Clusters.apart(50))
    # 0.95 ** n <= 0.05 from n = 59 on, among all that are answered.
    assert str(told.value) == (
        "at most 5 % wrong answers with 95 % confidence can't be promised by 50 questions; about"
        " 59 like them would do"
    )


def test_the_first_test_is_of_so_many_that_they_can_say_something() -> None:
    """No errors among 60 answers in 30 clusters are not enough evidence; among 86 they are."""
    wrong = [at >= 86 for at in range(120)]
    clusters = Clusters.of([at % 30 for at in range(120)], "title")
    assert choose([-at for at in range(120)], wrong, clusters).error == 0
    # The reported need is never less than what there is.
    unlucky = [at == 5 or at >= 86 for at in range(120)]
    with pytest.raises(
        DataError, match=r"by 120 questions in 30 clusters; about (1[3-9]\d|2\d\d) like them"
    ):
        choose([-at for at in range(120)], unlucky, clusters)


def test_clusters_that_are_right_or_wrong_as_a_whole_count_as_one_each() -> None:
    """The most confident 80 of 120 are right, in 20 clusters that might all be so by chance."""
    wrong = [at >= 80 for at in range(120)]
    apart, together = ([at % 30 for at in range(120)], [at // 4 for at in range(120)])
    assert choose([-at for at in range(120)], wrong, Clusters.of(apart, "title")).error == 0
    with pytest.raises(DataError, match="can't be promised by 120 questions"):
        choose([-at for at in range(120)], wrong, Clusters.of(together, "title"))


def test_more_questions_begin_with_fewer_of_the_surest() -> None:
    """With 600, all are tested together; the top 480, all right, predict what more would show."""
    sure, wrong = [-float(at) for at in range(600)], [at >= 480 for at in range(600)]
    with pytest.raises(DataError, match=r"by 600 questions; about 1,872 like them would do"):
        choose_threshold(sure, wrong, Clusters.apart(600), Promise(risk=0.2))


def test_of_many_questions_the_first_threshold_may_be_below_every_step() -> None:
    wrong = [at % 2 == 0 for at in range(70_000)]
    with pytest.raises(DataError, match=r"even of the surest 250 answers 50.0 % are wrong"):
        choose([-float(at) for at in range(70_000)], wrong, Clusters.apart(70_000))


def test_how_many_questions_would_do_where_one_group_has_most() -> None:
    """With five times as many groups, 80 % of such samples have a contract."""
    codes = [group for group, size in enumerate([300] + [2] * 50) for _ in range(size)]
    wrong = [at % 50 == 7 for at in range(len(codes))]
    with pytest.raises(DataError, match="in 51 clusters; about") as caught:
        choose_threshold(
            [(at * 7919 % 997) / 997 for at in range(len(codes))],
            wrong,
            Clusters.of(codes, "title"),
            Promise(risk=10),
        )
    needed = int(re.findall(r"about ([\d,]+)", str(caught.value))[0].replace(",", ""))
    assert 1000 < needed < 3000


def test_a_reader_that_is_never_sure_enough() -> None:
    wrong = [at % 2 == 0 for at in range(1000)]
    with pytest.raises(DataError, match=r"even of the surest .* % are wrong"):
        choose([at / 1000 for at in range(1000)], wrong, Clusters.apart(1000))


def test_a_few_right_answers_plan_nothing() -> None:
    """The surest three are right, as by chance in half of all readers that err on every fifth."""
    wrong = [at % 5 == 3 for at in range(400)]
    with pytest.raises(DataError, match=r"by 400 questions: even of the surest 160 .* 20.0 %"):
        choose([-float(at) for at in range(400)], wrong, Clusters.apart(400))
    with pytest.raises(DataError, match=r"by 9 .* too few .* even without a wrong answer it takes"):
        choose([1.0] * 9, [False] * 9, Clusters.apart(9))
    with pytest.raises(DataError, match="by 20 questions; about 59 like them would do"):
        choose([1.0] * 20, [False] * 20, Clusters.apart(20))


@pytest.mark.slow
def test_the_promise_is_broken_in_at_most_one_of_twenty() -> None:
    """Readers whose risk is always just the promised one, so that any contract is wrong."""
    chance = random.Random(3)
    broken = 0
    for _ in range(400):
        wrong = [chance.random() < 0.05 for _ in range(300)]
        try:
            choose([chance.random() for _ in range(300)], wrong, Clusters.apart(300))
        except DataError:
            continue
        broken += 1
    assert broken / 400 <= 0.05 + 2 * (0.05 * 0.95 / 400) ** 0.5


def test_enough_questions_are_never_called_too_few() -> None:
    """Five of the surest 105 are wrong, as likely by chance as not, but 59 could be enough."""
    wrong = [at < 5 or at >= 105 for at in range(262)]
    with pytest.raises(DataError, match=r"by 262 questions: even of the surest 105 answers 4.8 %"):
        choose([-at for at in range(262)], wrong, Clusters.apart(262))


def test_a_single_cluster_is_too_little_to_plan_from() -> None:
    clusters = Clusters.of([0] * 200, "title")
    with pytest.raises(DataError, match="by 200 questions in 1 cluster, which are too few to plan"):
        choose([1.0] * 200, [False] * 200, clusters)
