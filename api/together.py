"""Questions that wait together: what comes in while a thread is asking goes with the next, all in one.

The busier a process is, the more requests share one way to the database, as commits share a flush of a log. What is
answered was asked after the question came in: nothing is remembered from one round to the next.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Generic, TypeVar

Question = TypeVar("Question")
Answer = TypeVar("Answer")


class Together(Generic[Question, Answer]):
    """Asks `serve` in a thread of its own, for all who wait; for whatever loops they wait in.

    serve: blocking; returns an answer, or the error that is one, for each question in their order. most: so many at
    once, that a statement stays of a size that plans well.
    """

    def __init__(
        self, name: str, serve: Callable[[Sequence[Question]], Sequence[Answer | Exception]], *, most: int = 64
    ) -> None:
        self._serve, self._most = serve, most
        self._waiting: list[tuple[Question, asyncio.Future[Answer]]] = []
        self._lock = threading.Lock()
        self._serving = False
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=name)

    async def ask(self, question: Question) -> Answer:
        """Return the answer to `question`, or raise it."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Answer] = loop.create_future()
        with self._lock:
            self._waiting.append((question, future))
            idle, self._serving = not self._serving, True
        if idle:
            # When the loop comes round: whoever is ready now is in the first round already.
            loop.call_soon(self._thread.submit, self._rounds)
        return await future

    def _rounds(self) -> None:
        while True:
            with self._lock:
                served, self._waiting = self._waiting[: self._most], self._waiting[self._most :]
                if not served:
                    self._serving = False
                    return
            try:
                answers = self._serve([question for question, _ in served])
            except Exception as error:  # noqa: BLE001 - whatever it is, it belongs to those who wait
                answers = [error] * len(served)
            by_loop: dict[asyncio.AbstractEventLoop, list[tuple[asyncio.Future[Answer], Answer | Exception]]] = {}
            for (_, future), answer in zip(served, answers, strict=True):
                by_loop.setdefault(future.get_loop(), []).append((future, answer))
            for loop, told in by_loop.items():
                # A loop that has ended has nobody left who waits.
                if not loop.is_closed():
                    loop.call_soon_threadsafe(_tell, told)


def _tell(told: Sequence[tuple[asyncio.Future[Answer], Answer | Exception]]) -> None:
    for future, answer in told:
        if future.done():
            continue  # whoever asked has gone
        if isinstance(answer, Exception):
            future.set_exception(answer)
        else:
            future.set_result(answer)
