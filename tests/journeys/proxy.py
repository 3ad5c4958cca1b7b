"""A TCP proxy in a process of its own: `python -m tests.journeys.proxy PORT HOST PORT`.

Stopping that process (SIGSTOP) is a server that accepts and never answers; ending it is one that
is gone. Nothing but the standard library, so that it starts at once.
"""

from __future__ import annotations

import asyncio
import sys


async def serve(port: int, host: str, other: int) -> None:
    async def meet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            there = await asyncio.open_connection(host, other)
        except OSError:
            writer.transport.abort()
            return
        await asyncio.gather(_pump(reader, there[1]), _pump(there[0], writer))

    server = await asyncio.start_server(meet, "127.0.0.1", port, backlog=200)
    async with server:
        await server.serve_forever()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    except OSError:
        pass
    finally:
        writer.close()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]), sys.argv[2], int(sys.argv[3])))
