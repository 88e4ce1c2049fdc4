"""TrendsQuery: series of numbers per interval, or one total each (docs/server.md#insights)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Any, Final

from endpoints_gitops.local.engine.refusals import QueryRefused
from endpoints_gitops.local.insights import filters
from endpoints_gitops.local.insights.breakdowns import NULL, OTHER, Breakdowns, Key, breakdowns_of, cohorts_of
from endpoints_gitops.local.insights.dates import Period, iso_text, previous
from endpoints_gitops.local.insights.formulas import Number, evaluated
from endpoints_gitops.local.insights.maths import Measured, columns_of, event_rows
from endpoints_gitops.local.insights.questions import InsightRun
from endpoints_gitops.local.insights.refused import NotComputed
from endpoints_gitops.model.json import Json

_CUMULATIVE: Final = "ActionsLineGraphCumulative"
_LINES: Final = ("ActionsLineGraph", "ActionsBar", "ActionsUnstackedBar", "ActionsAreaGraph", _CUMULATIVE)
_TOTALS: Final = ("BoldNumber", "ActionsPie", "ActionsBarValue", "WorldMap", "ActionsTable", "Progress")


@dataclass(frozen=True, slots=True, kw_only=True)
class TrendResults:
    """The results of the answer, whether values are beyond the limit of the breakdown, and the resolved dates."""

    results: list[Json]
    has_more: bool
    period: Period


@dataclass(frozen=True, slots=True, kw_only=True)
class _TrendLine:
    """One series of the answer before it is shown; a total has one number in `data`."""

    order: int
    key: Key
    data: list[Number]
    period: Period
    compare_label: str | None

    @property
    def total(self) -> float:
        return float(sum(self.data))


def results(run: InsightRun) -> TrendResults:
    """The results of a TrendsQuery. Raises QueryRefused."""
    return _Trend(run).results()


class _Trend:
    """The parts of one query that every series needs."""

    def __init__(self, run: InsightRun) -> None:
        self.run = run
        self.filter: Mapping[str, Any] = run.node.get("trendsFilter") or {}
        self.display = str(self.filter.get("display") or "ActionsLineGraph")
        if self.display not in (*_LINES, *_TOTALS):
            raise NotComputed("trendsFilter.display", self.display)
        self.is_total = self.display in _TOTALS
        self.is_cumulative = self.display == _CUMULATIVE
        self.smoothing = self.filter.get("smoothingIntervals") or 1
        if not isinstance(self.smoothing, int) or self.smoothing < 1:
            raise NotComputed("trendsFilter.smoothingIntervals", repr(self.smoothing))
        if self.smoothing > 1 and (self.is_cumulative or self.is_total):
            raise NotComputed("trendsFilter.smoothingIntervals", f"with the display {self.display}")
        breakdown_filter = run.node.get("breakdownFilter") or {}
        self.cohorts = cohorts_of(breakdown_filter, run.project)
        self.breakdowns = (
            self.cohorts[0]
            if self.cohorts
            else breakdowns_of(breakdown_filter, is_endpoint=run.is_endpoint, display=self.display)
        )
        self.series: list[Mapping[str, Any]] = list(run.node.get("series") or [])

    def results(self) -> TrendResults:
        periods = self._periods()
        current = periods[0][0]
        lines = [line for period, label in periods for line in self._lines(period, label)]
        has_more = any(OTHER in line.key for line in lines)
        if self.breakdowns is not None and self.breakdowns.hides_other:
            lines = [line for line in lines if OTHER not in line.key]
        formulas = _formulas(self.filter)
        if not formulas:
            return TrendResults(results=[self._shown(line) for line in lines], has_more=has_more, period=current)
        shown: list[Json] = []
        for index, (formula, name) in enumerate(formulas):
            for label in dict.fromkeys(label for _, label in periods):
                of_period = [line for line in lines if line.compare_label == label]
                shown += self._of_formula(index, formula, name, of_period)
        return TrendResults(results=shown, has_more=has_more, period=current)

    def _periods(self) -> list[tuple[Period, str | None]]:
        """The period of the query, and that of the comparison."""
        interval = "day" if self.is_total else self.run.interval
        current = self.run.period(interval=interval, exact=self.display == "BoldNumber")
        compare = self.run.node.get("compareFilter") or {}
        if not compare.get("compare"):
            return [(current, None)]
        if self.display == "BoldNumber":
            raise NotComputed("compareFilter", "with the display BoldNumber")
        before = previous(current, self.run.date_range, compare.get("compare_to"), self.run.now)
        return [(current, "current"), (before, "previous")]

    def _lines(self, period: Period, compare_label: str | None) -> list[_TrendLine]:
        lines: list[_TrendLine] = []
        for order, series in enumerate(self.series):
            values: dict[Key, list[Number]] = {}
            for breakdowns in tuple(self.cohorts) or (self.breakdowns,):
                values |= self._values(series, period, breakdowns)
            if self.breakdowns is not None and not self._is_listed:
                values = _limited(values, self.breakdowns)
            lines += [
                _TrendLine(order=order, key=key, data=data, period=period, compare_label=compare_label)
                for key, data in values.items()
            ]
        return lines

    @property
    def _is_listed(self) -> bool:
        """Whether cohorts stand in the order of the query, not of their numbers: the server asks for each by itself."""
        return any(not breakdowns.conditions for breakdowns in self.cohorts)

    def _values(
        self, series: Mapping[str, Any], period: Period, breakdowns: Breakdowns | None
    ) -> dict[Key, list[Number]]:
        """The numbers of a series by breakdown value; without breakdowns the key is empty."""
        measured = Measured(
            series=series,
            run=self.run,
            period=period,
            breakdowns=breakdowns,
            is_total=self.is_total,
            is_cumulative=self.is_cumulative,
        )
        keys = columns_of(breakdowns)
        rows = event_rows(measured)
        grouped = f" GROUP BY {', '.join(keys)}" if keys else ""
        times = "[]" if self.is_total else "groupArray(_bucket)"
        selected = ", ".join([*keys, f"{times} AS _buckets", "groupArray(_value) AS _values"])
        answer = self.run.ask(f"SELECT {selected} FROM ({rows}){grouped}")  # noqa: S608 - translated parts
        multiplier = series.get("math_multiplier")
        values: dict[Key, list[Number]] = {}
        for *key, buckets, numbers in answer:
            scaled = [_scaled(number, multiplier) for number in numbers]
            values[tuple(map(str, key))] = self._filled(period, buckets, scaled)
        if breakdowns is None and not values:
            values[()] = self._filled(period, [], [])
        return values

    def _filled(self, period: Period, buckets: Sequence[str], numbers: Sequence[Number]) -> list[Number]:
        """A number for each bucket, smoothed or summed as the display asks; one number for a total."""
        if self.is_total:
            return [numbers[0] if numbers else 0]
        by_bucket = dict(zip(map(self.run.local, buckets), numbers, strict=True))
        data: list[Number] = [by_bucket.get(bucket, 0) for bucket in period.buckets]
        if self.smoothing > 1:
            data = [_mean(data[max(0, index - self.smoothing + 1) : index + 1]) for index in range(len(data))]
        return list(accumulate(data)) if self.is_cumulative else data

    def _shown(self, line: _TrendLine) -> dict[str, Json]:
        series = self.series[line.order]
        source = self.run.source(series)
        label = str(series.get("custom_name") or source.name)
        if self.breakdowns is not None:
            values = self.breakdowns.label(line.key)
            label = f"{label} - {values}" if len(self.series) > 1 else values
        action: dict[str, Json] = {
            "days": [iso_text(bucket) for bucket in line.period.buckets],
            "id": source.id,
            "type": source.type,
            "order": line.order,
            "name": source.name,
            "custom_name": series.get("custom_name"),
            "math": series.get("math"),
            "math_property": series.get("math_property"),
            "math_hogql": series.get("math_hogql"),
            "math_group_type_index": series.get("math_group_type_index"),
            "properties": {},
        }
        return self._row(line, label) | {"action": action, "order": line.order}

    def _row(self, line: _TrendLine, label: str) -> dict[str, Json]:
        row: dict[str, Json] = {"label": label, "filter": self._filter(line.period)}
        if self.is_total:
            row |= {"data": [], "days": [], "count": 0, "aggregated_value": line.data[0]}
        else:
            count = line.data[-1] if self.is_cumulative and line.data else line.total
            row |= {
                "data": list(line.data),
                "labels": list(line.period.labels),
                "days": list(line.period.days),
                "count": count,
            }
        if self.breakdowns is not None:
            row["breakdown_value"] = self.breakdowns.value(line.key)
        if line.compare_label is not None:
            row |= {"compare": True, "compare_label": line.compare_label}
        return row

    def _filter(self, period: Period) -> Json:
        known: dict[str, Json] = {
            "insight": "TRENDS",
            "properties": self.run.node.get("properties") or [],
            "filter_test_accounts": bool(self.run.node.get("filterTestAccounts")),
            "date_to": iso_text(period.end),
            "date_from": iso_text(period.start.replace(microsecond=0)),
            "entity_type": "events",
        }
        return known | dict(self.filter) | dict(self.run.node.get("breakdownFilter") or {})

    def _of_formula(self, index: int, formula: str, name: str | None, lines: list[_TrendLine]) -> list[Json]:
        """The results of a formula in one period: one, or one for each breakdown value of a series."""
        if not lines:
            evaluated(formula, [[]] * len(self.series))  # for the mistakes of the formula
            return []
        values: list[tuple[_TrendLine, list[Number]]] = []
        for key in dict.fromkeys(line.key for line in lines):
            of_key = {line.order: line for line in lines if line.key == key}
            model = next(iter(of_key.values()))
            zeros: list[Number] = [0] * len(model.data)
            data = [of_key[order].data if order in of_key else zeros for order in range(len(self.series))]
            values.append((model, evaluated(formula, data)))
        if self.breakdowns is not None:
            values.sort(key=lambda pair: (_is_special(pair[0].key), -float(sum(pair[1]))))
        return [self._formula_row(model, data, index, name or f"Formula ({formula})") for model, data in values]

    def _formula_row(self, model: _TrendLine, data: list[Number], index: int, label: str) -> dict[str, Json]:
        row = self._row(replace(model, data=data), label) | {"action": None, "order": index}
        if self.is_total:
            return row | {"data": None, "aggregated_value": float(data[0])}
        return row | {"count": float(sum(data))}


def _is_special(key: Key) -> int:
    return int(OTHER in key or NULL in key)


def _limited(values: Mapping[Key, list[Number]], breakdowns: Breakdowns) -> dict[Key, list[Number]]:
    """The values within the limit in the order of the answer; "other" is the sum of the rest."""
    totals = {key: float(sum(data)) for key, data in values.items()}
    limited: dict[Key, list[Number]] = {}
    for key, shown in breakdowns.kept(totals).items():
        data = values[key]
        before = limited.get(shown)
        limited[shown] = data if before is None else [left + right for left, right in zip(before, data, strict=True)]
    return limited


def _formulas(trends_filter: Mapping[str, Any]) -> list[tuple[str, str | None]]:
    """The formulas with their names: those of `formulaNodes`, else of `formulas`, else `formula`."""
    nodes = trends_filter.get("formulaNodes")
    if nodes:
        return [(str(node["formula"]), node.get("custom_name")) for node in nodes]
    texts = trends_filter.get("formulas")
    if texts is not None and not isinstance(texts, list):
        raise NotComputed("trendsFilter.formulas", repr(texts))
    texts = texts or ([trends_filter["formula"]] if trends_filter.get("formula") else [])
    return [(str(text), None) for text in texts]


def _mean(numbers: Sequence[Number]) -> Number:
    return math.floor(sum(numbers) / len(numbers))


def _scaled(number: Any, multiplier: Any) -> Number:  # noqa: ANN401 - JSON of any shape
    if number is None:
        return 0
    if not isinstance(number, int | float):
        raise QueryRefused(f"A measurement must be a number, not {number!r}")
    if multiplier is None:
        return number
    return number * filters.number("math_multiplier", multiplier)
