"""Run vLLM for a reader: start or connect to servers, ask them, and shut them down."""

import asyncio
import tempfile
import time
from collections.abc import Coroutine, Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

import httpx2

from aqa.backends.event_loop import answers, cancel_all, running_loop
from aqa.backends.llama_qlora.conversion import is_dequantized, is_trained_over_4bit
from aqa.backends.llama_qlora.vllm.arguments import ADAPTER, BASE, server_arguments
from aqa.backends.llama_qlora.vllm.pool import NoServerError, Pool, Server
from aqa.backends.llama_qlora.vllm.process import ServerProcess, find_vllm, own_gpus
from aqa.backends.llama_qlora.vllm.requests import RefusedError, Requests
from aqa.backends.llama_qlora.vllm.running_servers import (
    choose_model,
    environment_key,
    key_header,
    server_urls,
)
from aqa.backends.local.decoding import GeneratedAnswer
from aqa.backends.model_files import ModelFiles
from aqa.config.backend_options import LlamaQloraOptions
from aqa.errors import ModelError
from aqa.processes import process_rank
from aqa.progress import Progress
from aqa.records import Prompt
from aqa.runs.names import VLLM_LOG

CONNECT = 15.0  # seconds to connect
LOOK = 0.25  # seconds between checks whether a server is up
Written = list[GeneratedAnswer] | str  # a prompt's answers, or why there are none


class VllmEngine:
    """Answers prompts that carry their token ids; open it with `with`.

    `folder` holds the log of a server that is started here, and `dtype` is what it computes in.
    """

    def __init__(
        self,
        options: LlamaQloraOptions,
        files: ModelFiles,
        requests: Requests,
        dtype: str,
        folder: Path | None,
        progress: Progress,
    ) -> None:
        self._options, self._vllm = options, options.vllm
        self._files, self._requests, self._dtype = files, requests, dtype
        self._folder, self._progress = folder, progress
        self._process: ServerProcess | None = None

    def __enter__(self) -> Self:
        with ExitStack() as opened:
            self._tell_of_base()
            key = environment_key()
            if not self._vllm.urls:
                self._process = self._start(opened)
                key = self._process.key
            self._loop = opened.enter_context(running_loop())
            self._client = self._wait(self._make_client(key))
            opened.callback(lambda: self._wait(self._close()))
            patience = self._vllm.request_timeout
            self._pool = Pool(self._client, key, self._progress.note, self._runs, patience)
            if self._process is not None:
                self._wait_until_up(self._process)
                self._add(Server(self._process.url, ADAPTER if self._files.adapter else BASE))
            else:
                self._add_those_that_run()
            self._open = opened.pop_all()
        return self

    def __exit__(self, *exc: object) -> None:
        self._open.close()

    def write(self, prompts: Iterable[Prompt]) -> Iterator[tuple[Prompt, Written]]:
        """Yield answers to many prompts at a time, in the order in which they arrive.

        Raises:
            ModelError: no server is left.
        """
        limit = self._vllm.max_concurrency * max(len(self._vllm.urls), 1)
        try:
            yield from answers(self._loop, prompts, self._ask, limit)
        except NoServerError as error:
            reason = str(error)
            if self._process is not None:
                reason = (
                    f"vLLM stopped before all questions were answered ({self._process.why_ended()})"
                )
            raise ModelError(f"{reason}; run the same command again to resume") from error

    async def _ask(self, prompt: Prompt) -> Written:
        body = self._requests.body(prompt)
        try:
            return self._requests.read(body, await self._pool.ask(body))
        except RefusedError as error:
            return str(error)

    def _start(self, opened: ExitStack) -> ServerProcess:
        """Start a server, which ends with the stack."""
        vllm = find_vllm(self._vllm.python)
        folder = self._folder or Path(opened.enter_context(tempfile.TemporaryDirectory()))
        beams = self._requests.options.num_beams
        words = server_arguments(vllm, self._files, self._options, self._dtype, beams)
        log = folder.absolute() / VLLM_LOG
        if rank := process_rank():  # each process has its own server
            log = log.with_suffix(f".{rank}.log")
        model = self._files.base
        if Path(model).exists():
            model = str(Path(model).absolute())
        process = ServerProcess(vllm, model, words, log, own_gpus(self._vllm.gpus))
        opened.callback(process.close)
        self._progress.note(f"vLLM {vllm.version} is starting, {self._dtype}; its log is {log}")
        return process

    def _tell_of_base(self) -> None:
        """Note if an adapter runs over weights other than those it was trained on."""
        adapter = self._options, self._files
        if is_trained_over_4bit(*adapter) and not is_dequantized(*adapter):
            held = "as it was started" if self._vllm.urls else f"in {self._vllm.quantization}"
            self._progress.note(
                f"vLLM serves the base {held}; if the adapter was trained on a base in 4 bits, its"
                " answers will differ: serve the run's merged/ (aqa train --merge) instead"
            )

    def _add(self, server: Server) -> None:
        self._wait(self._pool.add(server, self._requests.probe(), self._requests.read))

    def _add_those_that_run(self) -> None:
        urls, lost = server_urls(self._vllm), []
        for url in urls:
            try:
                listed = self._wait(self._pool.models(url))
                self._add(Server(url, choose_model(url, listed, self._options, self._files)))
            except ModelError as error:
                lost.append(str(error))
        if len(lost) == len(urls):
            raise ModelError(f"none of the servers in backend.vllm.urls can be used: {lost[0]}")
        for reason in lost:
            self._progress.note(f"left out: {reason}")

    def _wait_until_up(self, process: ServerProcess) -> None:
        until = time.monotonic() + self._vllm.start_timeout
        with self._progress.task("Starting vLLM", None, "lines") as task:
            count = 0
            while not self._wait(self._pool.is_up(process.url)):
                if not process.alive:
                    raise ModelError(f"vLLM did not start: {process.why_ended(at_start=True)}")
                if time.monotonic() > until:
                    raise ModelError(
                        f"vLLM was not ready after {self._vllm.start_timeout:g} s:"
                        f" {process.why_ended(at_start=True)}; raise backend.vllm.start_timeout"
                    )
                time.sleep(LOOK)
                lines = len(process.lines())
                task.advance(lines - count)
                count = lines

    def _runs(self) -> bool:
        """Whether the server started here still runs; True for others, which are unknown."""
        return self._process is None or self._process.alive

    async def _make_client(self, key: str) -> httpx2.AsyncClient:
        """Make a client within the loop; requests to this machine bypass any proxy."""
        seconds = self._vllm.request_timeout
        return httpx2.AsyncClient(
            headers=key_header(key),
            timeout=httpx2.Timeout(seconds, connect=min(seconds, CONNECT)),
            limits=httpx2.Limits(max_connections=None, max_keepalive_connections=None),
            trust_env=self._process is None,
        )

    async def _close(self) -> None:
        # Requests first: to them, a closed client would look like a lost server.
        await cancel_all()
        await self._client.aclose()

    def _wait(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()
