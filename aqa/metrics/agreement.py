"""Agreement of raters: a judge with people, or the judges of a panel with each other."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from aqa.runs.files import Facts


@dataclass(frozen=True, slots=True)
class Agreement(Facts):
    """Agreement of two raters on n examples: the share of equal labels (0..100), and kappa.

    `kappa` is None if both always gave the same single label: chance alone would, too.
    """

    n: int
    agreement: float
    kappa: float | None


def agreement(pairs: Sequence[tuple[str, str]]) -> Agreement:
    """Compare the labels of two raters on the same examples.

    Cohen's kappa: (p_o - p_e) / (1 - p_e), where p_o is the share of equal labels and p_e the
    share expected by chance from these label counts: Cohen (1960), "A Coefficient of Agreement
    for Nominal Scales", Educational and Psychological Measurement 20(1).
    """
    n = len(pairs)
    first, second = Counter(a for a, _ in pairs), Counter(b for _, b in pairs)
    observed = sum(a == b for a, b in pairs) / n
    chance = sum(first[label] * second[label] for label in first) / n**2
    kappa = None if chance == 1 else (observed - chance) / (1 - chance)
    return Agreement(n, 100 * observed, kappa)


@dataclass(frozen=True, slots=True)
class PanelAgreement(Facts):
    """Agreement of a panel on n answers that all judged: the share of unanimous ones, 0..100.

    `fleiss_kappa` covers the same answers, `krippendorff_alpha` all that two or more judged.
    Both are None if everybody always gave the same single label.
    """

    n: int
    agreement: float | None
    fleiss_kappa: float | None
    krippendorff_alpha: float | None


def panel_agreement(items: Sequence[Sequence[str | None]]) -> PanelAgreement:
    """Compare the raters' labels of each item; None is a missing label."""
    present = [[label for label in labels if label is not None] for labels in items]
    complete = [some for some, every in zip(present, items, strict=True) if len(some) == len(every)]
    same = 100 * fmean(len(set(labels)) == 1 for labels in complete) if complete else None
    return PanelAgreement(len(complete), same, fleiss_kappa(complete), krippendorff_alpha(present))


def fleiss_kappa(items: Sequence[Sequence[str]]) -> float | None:
    """Fleiss' kappa, (P - P_e) / (1 - P_e), for items with equal numbers of labels.

    P is the mean share of pairs of raters that agree, P_e the sum of squares of the labels'
    shares: Fleiss (1971), "Measuring nominal scale agreement among many raters", Psychological
    Bulletin 76(5).
    """
    if not items:
        return None
    shares = Counter(label for labels in items for label in labels)
    total = shares.total()
    chance = sum((count / total) ** 2 for count in shares.values())
    return None if chance == 1 else (fmean(map(_agreeing, items)) - chance) / (1 - chance)


def krippendorff_alpha(items: Sequence[Sequence[str]]) -> float | None:
    """Krippendorff's alpha, 1 - D_o / D_e, for nominal labels, of which some may be missing.

    Krippendorff (2004), "Content Analysis", chapter 11: D_o is the disagreement of pairs within
    items, D_e that of pairs out of all labels.
    """
    paired = [labels for labels in items if len(labels) > 1]
    counts = Counter(label for labels in paired for label in labels)
    total = counts.total()
    different = total**2 - sum(count**2 for count in counts.values())
    if not different:
        return None
    observed = sum(len(labels) * (1 - _agreeing(labels)) for labels in paired)
    return 1 - observed * (total - 1) / different


def _agreeing(labels: Sequence[str]) -> float:
    count = len(labels)
    return sum(number * (number - 1) for number in Counter(labels).values()) / (count * (count - 1))
