"""Speed of asking an API, compared with the ideal, a sequential client and lm-eval; and CPU time.

ideal       answers per second, relative to min(connections / latency, request limit, token limit)
sequential  questions per second, relative to the openai client in a loop, at 32 connections
cpu         CPU time of this process per request with a prompt of 1,500 words
peer        questions per second, and refused requests, under a tight token limit with 429s,
            compared with lm-eval's local-chat-completions: same server, prompts and concurrency

The server is that of the tests, in its own process. The peer has its own environment:

    python -m venv /tmp/lm-eval && /tmp/lm-eval/bin/pip install "lm_eval[api]==0.4.13"

Run: python tests/benchmarks/api_speed.py [PART ...] [--quick]
             [--peer-python /tmp/lm-eval/bin/python]
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from statistics import median

from arms import Parser, interleave, measure, print_table, print_verdict
from loopback import Counts, Loopback

from aqa.backends.openai_api.backend import Gpt4Backend
from aqa.config.load import build_config
from aqa.config.options import RunConfig
from aqa.progress import SilentProgress
from aqa.prompting.build import Inputs
from aqa.prompting.templates import load_template
from aqa.records import Prompt
from aqa.verbs.predict import predict

IDEAL = 0.95  # the targets
TIMES_SEQUENTIAL = 30
CPU_MILLISECONDS = 3.5
TIMES_PEER = 2
WORDS = 60  # in a passage, if its length does not matter


@dataclass(frozen=True, slots=True)
class Size:
    """How much to measure: the seconds of an ideal run, questions, and rounds."""

    seconds: int
    sequential: int
    cpu: int
    peer: int
    rounds: int


WHOLE = Size(seconds=60, sequential=25, cpu=3000, peer=900, rounds=3)
QUICK = Size(seconds=1, sequential=1, cpu=40, peer=60, rounds=1)


def configure(
    folder: Path, url: str, count: int, words: int = WORDS, **backend: object
) -> RunConfig:
    """Write distinct questions on a passage of so many words; return a run's config."""
    path = folder / f"questions-{count}-{words}.jsonl"
    if not path.exists():
        context = " ".join(f"word{number}" for number in range(words))
        with path.open("w", encoding="utf-8") as file:
            for number in range(count):
                row = {"id": f"q{number}", "question": f"Who wrote book {number}?"}
                file.write(json.dumps({**row, "context": context, "answers": ["x"]}) + "\n")
    # The server's model does not reason, so no room is reserved for that.
    plain = {"base_url": url, "price": {"input": 1, "output": 2}, "reasoning_tokens": 0}
    options = {**plain, **backend}
    layer = {"data": {"path": str(path)}, "backend": options, "generation": {"max_new_tokens": 16}}
    return build_config(Gpt4Backend.Options, [layer])


def answer_all(config: RunConfig) -> None:
    """Do a whole run (data, requests, journal, predictions); every question is answered."""
    with tempfile.TemporaryDirectory() as folder:
        result = predict(config, Path(folder, "out"), SilentProgress())
    assert result.answered == result.examples


def ideal(folder: Path, size: Size) -> None:
    """Time a whole run, including start and end, under each limit."""
    latency, connections, rate = 1.0, 64, 40
    with Loopback(latency=latency) as server:
        words = words_of_a_prompt(folder, server)
        bounds = {
            "64 connections, 1 s": (connections / latency, {}),
            "40 requests a second": (rate, {"requests_per_minute": 60 * rate}),
            "tokens for 40 a second": (rate, {"tokens_per_minute": round(60 * rate * (words + 1))}),
        }
        table = [["bound", "questions", "ideal", "measured", "of the ideal"]]
        fractions = []
        for name, (ideal_rate, limits) in bounds.items():
            count = round(size.seconds * ideal_rate)
            config = configure(folder, server.url, count, max_concurrency=connections, **limits)
            walls = [measure(partial(answer_all, config)).wall for _ in range(size.rounds)]
            wall = median(walls)
            fractions.append(count / ideal_rate / wall)
            seconds = f"{count / ideal_rate:.1f} s"
            table.append([name, f"{count:,}", seconds, f"{wall:.1f} s", f"{fractions[-1]:.3f}"])
    print_table(table)
    print_verdict("ideal: the lowest fraction", min(fractions), IDEAL)


def words_of_a_prompt(folder: Path, server: Loopback) -> float:
    """The number of words in a prompt, which are the server's tokens."""
    answer_all(configure(folder, server.url, 1))
    return server.counts()["prompt_tokens"]


def sequential(folder: Path, size: Size) -> None:
    """Compare a whole run with a loop whose client is already open, in questions per second."""
    from openai import OpenAI

    connections, latency = 32, 1.0
    with Loopback(latency=latency) as server:
        count = size.seconds * connections
        config = configure(folder, server.url, count, max_concurrency=connections)
        chats = rendered(configure(folder, server.url, size.sequential))
        client = OpenAI(api_key="none", base_url=server.url)

        def loop() -> None:
            for chat in chats:
                client.chat.completions.create(model="m", messages=chat, max_tokens=16)

        loop()
        arms: dict[str, Callable[[], object]] = {"aqa": partial(answer_all, config), "openai": loop}
        costs = interleave(arms, size.rounds)
    ratios = [
        (count / own.wall) / (len(chats) / other.wall)
        for own, other in zip(costs["aqa"], costs["openai"], strict=True)
    ]
    print_verdict(
        "sequential: times the loop's questions a second", median(ratios), TIMES_SEQUENTIAL
    )


def rendered(config: RunConfig) -> list[list[dict[str, str]]]:
    """The messages that aqa would send."""
    reader = Gpt4Backend(config, SilentProgress())
    inputs = Inputs(config, load_template(config.prompt), SilentProgress())
    return [
        [{"role": turn.role, "content": turn.content} for turn in prompt.messages]
        for prompt in inputs.prompts(reader, inputs.examples())
        if isinstance(prompt, Prompt)
    ]


def cpu(folder: Path, size: Size) -> None:
    """User and system time of this process per request, including imports of the client."""
    with Loopback(latency=0.5) as server:
        config = configure(folder, server.url, size.cpu, words=1500, max_concurrency=64)
        costs = [measure(partial(answer_all, config)) for _ in range(size.rounds)]
    spent = median(cost.cpu for cost in costs) / size.cpu * 1000
    print_verdict("cpu: milliseconds a request", spent, CPU_MILLISECONDS, at_most=True)


def peer(folder: Path, size: Size, python: str | None) -> None:
    """Compare on a server with its limit in headers, as OpenAI's has it, and one without.

    The server's clock is used, from the first request to the last answer.
    """
    if python is None:
        print("peer: left out; name its environment with --peer-python (see --help)")
        return
    rate = 20
    with Loopback() as free:
        words = words_of_a_prompt(folder, free)
    headers = {"x-ratelimit-limit-tokens": str(round(60 * rate * words))}
    verdicts = []
    for name, told in (("told in headers", headers), ("not told", {})):
        with Loopback(tokens_per_second=rate * words, headers=told, latency=0.5) as server:
            found = against_peer(folder, size, server, python)
        table = [[f"20 questions a second, {name}", "answered", "a second", "refused requests"]]
        for arm, rounds in found.items():
            answered, refused = (
                median(one[key] for one in rounds) for key in ("answered", "refused")
            )
            table.append(
                [arm, f"{answered:.0f}", f"{median(map(speed, rounds)):.1f}", f"{refused:.0f}"]
            )
        print_table(table)
        pairs = list(zip(found["aqa"], found["lm-eval"], strict=True))
        ratio = median(speed(own) / speed(other) for own, other in pairs)
        refusals = median(own["refused"] / max(1, other["refused"]) for own, other in pairs)
        verdicts.append((f"peer, {name}: refused requests, aqa's over its", refusals, 1, True))
        verdicts.append((f"peer, {name}: times its questions a second", ratio, TIMES_PEER, False))
    for verdict in verdicts:
        print_verdict(*verdict)


def speed(counts: Counts) -> float:
    return counts["answered"] / counts["seconds"]


def against_peer(
    folder: Path, size: Size, server: Loopback, python: str, connections: int = 64
) -> dict[str, list[Counts]]:
    """What the server counted in each round, for both clients."""
    config = configure(folder, server.url, size.peer, max_concurrency=connections)
    command = peer_command(python, write_task(folder, rendered(config)), server.url, connections)
    arms: dict[str, Callable[[], object]] = {
        "aqa": partial(answer_all, config),
        "lm-eval": partial(run_peer, command),
    }
    found: dict[str, list[Counts]] = {name: [] for name in arms}
    for number in range(size.rounds):
        for name in list(arms) if number % 2 == 0 else list(arms)[::-1]:
            time.sleep(2)  # until the server's token bucket is full again
            server.counts()
            arms[name]()
            found[name].append(server.counts())
    return found


def write_task(folder: Path, chats: list[list[dict[str, str]]]) -> Path:
    """Write a task for lm-eval with the same words in each prompt."""
    rows = [{"prompt": "\n\n".join(turn["content"] for turn in chat)} for chat in chats]
    data = folder / "peer.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    task = folder / "tasks"
    task.mkdir(exist_ok=True)
    fields = {
        "task": "aqa_speed",
        "dataset_path": "json",
        "dataset_kwargs": {"data_files": {"test": str(data)}},
        "test_split": "test",
        "output_type": "generate_until",
        "doc_to_text": "{{prompt}}",
        "doc_to_target": "x",
        "generation_kwargs": {"max_gen_toks": 16, "until": [], "do_sample": False},
        "metric_list": [{"metric": "exact_match"}],
    }
    (task / "aqa_speed.yaml").write_text(json.dumps(fields), encoding="utf-8")  # JSON is YAML
    return task


def peer_command(python: str, task: Path, url: str, connections: int) -> list[str]:
    """The peer's command; with its default of 3 attempts it would give up under such a limit."""
    model = f"model=m,base_url={url}/chat/completions,num_concurrent={connections},max_retries=100"
    words = ["--model", "local-chat-completions", "--model_args", model, "--tasks", "aqa_speed"]
    return [python, "-m", "lm_eval", *words, "--include_path", str(task), "--apply_chat_template"]


def run_peer(command: list[str]) -> None:
    environment = {**os.environ, "OPENAI_API_KEY": "none", "HF_DATASETS_OFFLINE": "1"}
    environment.pop("PYTHONPATH", None)
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"lm-eval failed:\n{done.stderr[-2000:]}")


def main() -> None:
    """Run the named parts, or all."""
    parts = {"ideal": ideal, "sequential": sequential, "cpu": cpu}
    parser = Parser(__doc__)
    parser.add_argument("part", nargs="*", help="ideal, sequential, cpu or peer; default all")
    parser.add_argument("--rounds", type=int, help="of each arm")
    parser.add_argument("--peer-python", help="the Python of an environment with lm-eval")
    arguments = parser.parse_args()
    known = [*parts, "peer"]
    if unknown := set(arguments.part) - set(known):
        parser.error(f"no such part: {', '.join(sorted(unknown))}")
    size = QUICK if arguments.quick else WHOLE
    size = replace(size, rounds=arguments.rounds or size.rounds)
    os.environ.pop("OPENAI_API_KEY", None)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for part in arguments.part or known:
            print(f"{part}:", file=sys.stderr)
            if part == "peer":
                peer(folder, size, arguments.peer_python)
            else:
                parts[part](folder, size)


if __name__ == "__main__":
    main()
