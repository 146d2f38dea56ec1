"""Pairs of real texts, (prediction, reference), to compare our scores with others'."""

import json
from pathlib import Path

Pair = tuple[str, str]
COUNT = 500


def english_pairs(shared_data: Path) -> list[Pair]:
    """Two people's answers to one question on a tweet; long answers with their passages."""
    tweets = json.loads((shared_data / "tweetqa" / "dev.json").read_text(encoding="utf-8"))
    short = [tuple(row["Answer"][:2]) for row in tweets if len(set(row["Answer"])) > 1]
    lines = (shared_data / "clapnq" / "clapnq_dev_answerable.jsonl").read_text(encoding="utf-8")
    rows = [json.loads(line) for line in lines.splitlines()[:100]]
    long = [(row["output"][0]["answer"], row["passages"][0]["text"]) for row in rows]
    return [*short, *long][-COUNT:]


def korean_pairs(shared_data: Path) -> list[Pair]:
    """KorQuAD's answers as they occur in their paragraphs, with some letters around them."""
    file = shared_data / "korquad1" / "KorQuAD_v1.0_dev.json"
    pairs = []
    for article in json.loads(file.read_text(encoding="utf-8"))["data"]:
        for paragraph in article["paragraphs"]:
            for question in paragraph["qas"]:
                answer = question["answers"][0]
                start, text = answer["answer_start"], answer["text"]
                around = paragraph["context"][max(0, start - 4) : start + len(text) + 3]
                pairs.append((around, text))
    return pairs[: 4 * COUNT : 4]
