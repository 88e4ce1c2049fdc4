"""Two calls with a session of aiohttp, which keeps idle connections for 15 seconds."""

import asyncio
import sys

import aiohttp


async def call(session: aiohttp.ClientSession, url: str) -> int:
    async with session.get(url) as response:
        await response.read()
        return response.status


async def main(url: str, key: str, seconds: str) -> None:
    async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {key}"}) as session:
        first = await call(session, url)
        await asyncio.sleep(float(seconds))
        second = await call(session, url)
    sys.stdout.write(f"{first} {second}\n")


asyncio.run(main(*sys.argv[1:]))
