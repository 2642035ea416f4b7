"""Texts of many requests read together, as the pipeline is fastest with many."""

from __future__ import annotations

import asyncio
import json
import logging
import traceback
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

from prometheus_client import Gauge, Histogram

from ..errors_d2e2s import UserError
from ..pipeline_d2e2s import BATCH_SIZE, TripletExtractionPipeline

AT_ONCE = 2 * BATCH_SIZE  # sorted by length the pipeline reads them with less padding

WAITING = Gauge("d2e2s_texts_waiting", "Texts that were taken and have no answer yet.", multiprocess_mode="livesum")
READ = Histogram(
    "d2e2s_texts_read_at_once", "Texts that the model read together.", buckets=[2**power for power in range(7)]
)
logger = logging.getLogger("uvicorn.error")

Options = Mapping[str, Any]


class FullError(Exception):
    """So many texts are waiting that no more are taken."""


class FailedError(Exception):
    """A bug. It is in the log, without the text."""


class Item(NamedTuple):
    """A text that waits for its answer; those of equal `key` can be read together."""

    text: str
    options: Options
    key: str
    answer: asyncio.Future[Any]


class Batcher:
    """A pipeline for many requests at once.

    It reads in one thread of its own, so that its steps need no locks and the server goes on answering. Nothing waits
    for a batch to fill: what comes while one is read is the next one. (The batching libraries that we found poll, or
    log what they are given.)

    Args:
        extract: the pipeline, which nobody else uses.
        most: texts that may wait.
    """

    def __init__(self, extract: TripletExtractionPipeline, most: int) -> None:
        self.most = most
        self._extract = extract
        self._thread = ThreadPoolExecutor(1, "model")
        self._items: deque[Item] = deque()
        self._waiting = 0
        self._reading: asyncio.Task[None] | None = None

    async def __call__(self, texts: Sequence[str], options: Options) -> list[Any]:
        """What the pipeline returns for the texts; those of a caller that is cancelled are read no more.

        Raises:
            FullError: they are too many with those that wait. None is read then.
            UserError: the pipeline's, about these texts and options.
            FailedError: a bug.
        """
        if self._waiting + len(texts) > self.most:
            raise FullError
        key, loop = json.dumps(options, sort_keys=True), asyncio.get_running_loop()
        items = [Item(text, options, key, loop.create_future()) for text in texts]
        self._items += items
        self._count(len(items))
        if self._reading is None or self._reading.done():
            self._reading = loop.create_task(self._read())
        try:
            return await asyncio.gather(*(item.answer for item in items))
        finally:
            self._count(-len(items))
            for item in items:  # after an error nobody waits for the others
                item.answer.cancel()

    def _count(self, texts: int) -> None:
        self._waiting += texts
        WAITING.inc(texts)

    async def _read(self) -> None:
        """Answer, until nothing waits."""
        loop = asyncio.get_running_loop()
        while items := [*self._next()]:
            READ.observe(len(items))
            for item, answer in zip(items, await loop.run_in_executor(self._thread, self._answers, items), strict=True):
                if not item.answer.done():
                    (item.answer.set_exception if isinstance(answer, Exception) else item.answer.set_result)(answer)

    def _next(self) -> Iterator[Item]:
        """The texts to be read now: the one that waits longest, and those after it that can be read with it."""
        key, found = None, 0
        while self._items and found < AT_ONCE and key in (None, self._items[0].key):
            item = self._items.popleft()
            if not item.answer.done():  # else it was cancelled
                key, found = item.key, found + 1
                yield item

    def _answers(self, items: Sequence[Item]) -> list[Any]:
        """What the pipeline returns for each, or the error."""
        try:
            return list(self._extract([item.text for item in items], **items[0].options))
        except UserError as error:
            if len(items) == 1:
                return [error]
            return [answer for item in items for answer in self._answers([item])]  # whose it is
        except Exception as error:  # a message may quote the text, frames do not
            frames = "".join(traceback.format_tb(error.__traceback__))
            logger.error("a text could not be read:\n%s%s", frames, type(error).__name__)
            return [FailedError()] * len(items)
        finally:
            self._extract.located.clear()  # aspects that were asked for: nobody reads them here, and they would grow
