"""A SOCKS 5 proxy that redirects every host to one port of this machine, recording the hosts."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

GREETING = b"\x05"
HOST_BY_NAME = 3


class SocksProxy:
    def __init__(self, leads_to: int) -> None:
        self.leads_to = leads_to
        self.hosts: list[str] = []  # as requested
        self.others: list[bytes] = []  # first bytes of anything that is not SOCKS 5
        self.port = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.IncompleteReadError):
            first = await reader.readexactly(1)
            if first != GREETING:
                self.others.append(first + await reader.read(100))
                return
            await reader.readexactly((await reader.readexactly(1))[0])
            writer.write(b"\x05\x00")
            _, _, _, kind = await reader.readexactly(4)
            assert kind == HOST_BY_NAME
            name = await reader.readexactly((await reader.readexactly(1))[0])
            await reader.readexactly(2)
            self.hosts.append(name.decode())
            there, back = await asyncio.open_connection("127.0.0.1", self.leads_to)
            writer.write(b"\x05\x00\x00\x01" + bytes(6))
            await asyncio.gather(pipe(reader, back), pipe(there, writer))
        writer.close()


async def pipe(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await source.read(65536):
            target.write(data)
            await target.drain()
    target.close()


@contextmanager
def leading(leads_to: int) -> Iterator[SocksProxy]:
    """Run the proxy in a thread."""
    proxy, loop = SocksProxy(leads_to), asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    async def start() -> asyncio.Server:
        return await asyncio.start_server(proxy.serve, "127.0.0.1", 0)

    async def stop() -> None:
        listening.close()
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()
        await asyncio.sleep(0.05)

    listening = asyncio.run_coroutine_threadsafe(start(), loop).result()
    proxy.port = listening.sockets[0].getsockname()[1]
    try:
        yield proxy
    finally:
        asyncio.run_coroutine_threadsafe(stop(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
