package endpoints

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strings"
)

// Breakdown is the value of a breakdown: one text, several for an insight with several breakdowns, none without a
// breakdown. A text is nil if the property is not set.
type Breakdown []*string

// UnmarshalJSON reads a text, a list of texts, or null.
func (b *Breakdown) UnmarshalJSON(raw []byte) error {
	if isNull(raw) {
		*b = nil
		return nil
	}
	if bytes.HasPrefix(raw, []byte("[")) {
		return json.Unmarshal(raw, (*[]*string)(b))
	}
	value, err := text(raw)
	*b = Breakdown{&value}
	return err
}

// TrendSeries is one series of a TrendsQuery: Data[i] belongs to Days[i] (2026-07-01; hours have a time) and Labels[i],
// and is nil where a formula has no value. A series with one total has an AggregatedValue and no Data. CompareLabel is
// current or previous, if the insight compares.
type TrendSeries struct {
	Label           string          `json:"label"`
	Data            []*float64      `json:"data"`
	Days            []string        `json:"days"`
	Labels          []string        `json:"labels"`
	Count           float64         `json:"count"`
	AggregatedValue *float64        `json:"aggregated_value"`
	BreakdownValue  Breakdown       `json:"breakdown_value"`
	CompareLabel    *string         `json:"compare_label"`
	Raw             json.RawMessage `json:"-"`
}

// LifecycleSeries is how many people have one status (new, returning, resurrecting, dormant) in each period; numbers of
// dormant people are negative.
type LifecycleSeries struct {
	Status string          `json:"status"`
	Label  string          `json:"label"`
	Data   []*float64      `json:"data"`
	Days   []string        `json:"days"`
	Labels []string        `json:"labels"`
	Count  float64         `json:"count"`
	Raw    json.RawMessage `json:"-"`
}

// RetentionValue is how many people of a cohort returned in one period. AggregationValue is set if a property is
// aggregated.
type RetentionValue struct {
	Count            float64  `json:"count"`
	Label            string   `json:"label"`
	AggregationValue *float64 `json:"aggregation_value"`
}

// RetentionCohort is the people who started at Date (ISO 8601); Values[k] is the k-th period after it. Future periods
// are 0.
type RetentionCohort struct {
	Label          string           `json:"label"`
	Date           string           `json:"date"`
	Values         []RetentionValue `json:"values"`
	BreakdownValue Breakdown        `json:"breakdown_value"`
	Raw            json.RawMessage  `json:"-"`
}

// FunnelStep is one step of a funnel. Count people reached at least this step; times are seconds since the previous
// step. A funnel with a breakdown has the steps of each value, one value after the other.
type FunnelStep struct {
	Name                  string          `json:"name"`
	CustomName            *string         `json:"custom_name"`
	Order                 int             `json:"order"`
	Count                 float64         `json:"count"`
	AverageConversionTime *float64        `json:"average_conversion_time"`
	MedianConversionTime  *float64        `json:"median_conversion_time"`
	BreakdownValue        Breakdown       `json:"breakdown_value"`
	Raw                   json.RawMessage `json:"-"`
}

// FunnelTimes is how long conversions took: Bins are pairs of seconds and number of people.
type FunnelTimes struct {
	Bins                  [][2]float64    `json:"bins"`
	AverageConversionTime *float64        `json:"average_conversion_time"`
	Raw                   json.RawMessage `json:"-"`
}

// FunnelTrend is conversion over time; Data are rates in percent.
type FunnelTrend struct {
	Count          float64         `json:"count"`
	Data           []*float64      `json:"data"`
	Days           []string        `json:"days"`
	Labels         []string        `json:"labels"`
	BreakdownValue Breakdown       `json:"breakdown_value"`
	Raw            json.RawMessage `json:"-"`
}

// PathLink is how many people went from Source to Target; AverageConversionTime is in milliseconds.
type PathLink struct {
	Source                string          `json:"source"`
	Target                string          `json:"target"`
	Value                 float64         `json:"value"`
	AverageConversionTime *float64        `json:"average_conversion_time"`
	Raw                   json.RawMessage `json:"-"`
}

// StickinessSeries says that Data[i] people were active in exactly Days[i] periods.
type StickinessSeries struct {
	Label  string          `json:"label"`
	Data   []*float64      `json:"data"`
	Days   []int           `json:"days"`
	Labels []string        `json:"labels"`
	Count  float64         `json:"count"`
	Raw    json.RawMessage `json:"-"`
}

var (
	trendSeries      = record(func(r *TrendSeries) *json.RawMessage { return &r.Raw }, "label", "count", "data?", "days?")
	lifecycleSeries  = record(func(r *LifecycleSeries) *json.RawMessage { return &r.Raw }, "status", "label", "data", "days", "labels", "count")
	retentionCohort  = record(func(r *RetentionCohort) *json.RawMessage { return &r.Raw }, "label", "date", "values")
	funnelStep       = record(func(r *FunnelStep) *json.RawMessage { return &r.Raw }, "name", "order", "count")
	funnelTimes      = record(func(r *FunnelTimes) *json.RawMessage { return &r.Raw }, "bins")
	funnelTrend      = record(func(r *FunnelTrend) *json.RawMessage { return &r.Raw }, "count", "data", "days", "labels")
	pathLink         = record(func(r *PathLink) *json.RawMessage { return &r.Raw }, "source", "target", "value")
	stickinessSeries = record(func(r *StickinessSeries) *json.RawMessage { return &r.Raw }, "label", "data", "days", "labels", "count")
)

// record reads an object that has to have the keys; null is a value of those that end in a question mark.
func record[T any](raw func(*T) *json.RawMessage, keys ...string) decoder[T] {
	return func(written json.RawMessage) (value T, err error) {
		var object map[string]json.RawMessage
		if json.Unmarshal(written, &object) != nil || object == nil {
			return value, wrong("an object", written)
		}
		for _, key := range keys {
			name, mayBeNull := strings.CutSuffix(key, "?")
			if item, ok := object[name]; !ok || (isNull(item) && !mayBeNull) {
				return value, fmt.Errorf("has no %s", name)
			}
		}
		err = json.Unmarshal(written, &value)
		*raw(&value) = written
		return value, err
	}
}

// runInsight calls a pin whose answers are results of an insight. A funnel with a breakdown has lists of steps.
func runInsight[Result any](ctx context.Context, c *Client, p *pin, read decoder[Result], variables map[string]any, options CallOptions) (*Answer[Result], error) {
	answer, err := c.call(ctx, p, variables, RowOptions{CallOptions: options})
	if err != nil {
		return nil, err
	}
	var results []json.RawMessage
	if bytes.HasPrefix(answer.Results, []byte("{")) {
		results = []json.RawMessage{answer.Results}
	} else if answer.Results == nil || json.Unmarshal(answer.Results, &results) != nil {
		return nil, p.broken("the answer has no results")
	}
	rows := make([]Result, 0, len(results))
	for index, result := range results {
		group := []json.RawMessage{result}
		if bytes.HasPrefix(result, []byte("[")) && json.Unmarshal(result, &group) != nil {
			return nil, p.broken("result %d must be a list", index)
		}
		for _, item := range group {
			row, err := read(item)
			if err != nil {
				return nil, p.broken("result %d %s", index, err)
			}
			rows = append(rows, row)
		}
	}
	return answerWith(answer, rows, false), nil
}
