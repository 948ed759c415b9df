"""Facts are written behind the answers, in batches, and what is lost is counted."""

from __future__ import annotations

import asyncio
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import pytest

from firnline.audit.recorder import AuditRecorder, AuditUnavailableError, Mode
from firnline.clock import SystemClock


@dataclass
class Entry:
    tenant: str
    text: str
    times: int = 1

    def alike(self) -> Hashable:
        return self.tenant, self.text

    def add(self, other: Entry) -> None:
        self.times += other.times


class Sink:
    """Keeps batches; can be slow or down."""

    def __init__(self) -> None:
        self.batches: list[tuple[str, list[str]]] = []
        self.is_down = False
        self.gate = asyncio.Event()
        self.gate.set()

    async def append(self, tenant: str, entries: Sequence[Entry]) -> None:
        await self.gate.wait()
        if self.is_down:
            raise OSError("down")
        self.batches.append(
            (tenant, [entry.text + f" x{entry.times}" * (entry.times > 1) for entry in entries])
        )

    @property
    def texts(self) -> list[str]:
        return [text for _, texts in self.batches for text in texts]


def recorder(sink: Sink, mode: Mode = "on", waiting_max: int = 100) -> AuditRecorder[Entry]:
    return AuditRecorder(
        sink.append,
        lost=lambda tenant, count: Entry(tenant, f"lost {count}"),
        clock=SystemClock(),
        mode=mode,
        waiting_max=waiting_max,
    )


async def test_entries_are_written_in_order_and_in_batches_by_the_time_it_closes() -> None:
    sink = Sink()
    recording = recorder(sink)
    for n in range(50):
        await recording.record(Entry("acme", str(n)))
    assert not sink.batches, "nobody waits for the writing"
    await recording.close()
    assert sink.texts == [str(n) for n in range(50)]
    assert len(sink.batches) == 1


async def test_full_queue_counts_what_is_lost_and_puts_the_count_on_record() -> None:
    sink = Sink()
    recording = recorder(sink, waiting_max=3)
    for n in range(10):
        await recording.record(Entry("acme", str(n)))
    await recording.close()
    assert sink.texts == ["0", "1", "2", "lost 7"]


async def test_strict_answer_waits_for_its_entry() -> None:
    sink = Sink()
    recording = recorder(sink, "strict")
    sink.gate.clear()
    asked = asyncio.create_task(recording.record(Entry("acme", "1")))
    await asyncio.sleep(0.02)
    assert not asked.done()
    sink.gate.set()
    await asked
    assert sink.texts == ["1"]
    await recording.close()


async def test_strict_refuses_what_cannot_be_put_on_record() -> None:
    sink = Sink()
    sink.is_down = True
    recording = recorder(sink, "strict")
    with pytest.raises(AuditUnavailableError):
        await recording.record(Entry("acme", "1"))
    sink.is_down = False
    await recording.record(Entry("acme", "2"))
    assert sink.texts == ["2"]
    await recording.close()


async def test_strict_refuses_when_the_queue_is_full() -> None:
    sink = Sink()
    sink.gate.clear()
    recording = recorder(sink, "strict", waiting_max=1)
    waiting = []
    for n in range(2):  # the first is being written, the second waits
        waiting.append(asyncio.create_task(recording.record(Entry("acme", str(n)))))
        await asyncio.sleep(0.02)
    with pytest.raises(AuditUnavailableError):
        await recording.record(Entry("acme", "more"))
    sink.gate.set()
    await asyncio.gather(*waiting)
    assert sink.texts == ["0", "1"]
    await recording.close()


async def test_off_records_nothing() -> None:
    sink = Sink()
    recording = recorder(sink, "off")
    await recording.record(Entry("acme", "1"))
    await recording.close()
    assert not recording.is_on
    assert not sink.batches


@pytest.mark.parametrize("mode", ["on", "strict"])
async def test_readings_that_are_alike_and_wait_together_are_counted_in_one_entry(
    mode: Mode,
) -> None:
    sink = Sink()
    recording = recorder(sink, mode, waiting_max=2)
    sink.gate.clear()
    asked = [asyncio.create_task(recording.record(Entry("acme", "a"))) for _ in range(9)]
    await asyncio.sleep(0)
    sink.gate.set()
    await asyncio.gather(*asked)
    await recording.close()
    counted = sum(int(text.partition(" x")[2] or 1) for text in sink.texts)
    assert counted == 9
    assert len(sink.texts) <= 2


async def test_many_entries_are_written_in_small_batches() -> None:
    sink = Sink()
    recording = recorder(sink, waiting_max=1_000)
    for n in range(175):
        await recording.record(Entry("acme", str(n)))
    await recording.close()
    assert [len(texts) for _, texts in sink.batches] == [50, 50, 50, 25]
    assert sink.texts == [str(n) for n in range(175)]
