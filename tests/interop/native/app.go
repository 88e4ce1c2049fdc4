// Calls the generated client as an app does: app SCENARIO; prints JSON.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"app/endpoints"
)

var ctx = context.Background()

func client() *endpoints.Client {
	return &endpoints.Client{Key: os.Getenv("APP_KEY"), ProjectID: 1, Host: os.Getenv("APP_HOST")}
}

// seen is what an app sees of an error.
func seen(err error) map[string]any {
	if err == nil {
		return nil
	}
	found := map[string]any{"message": err.Error()}
	var failed *endpoints.APIError
	if errors.As(err, &failed) {
		found["status"], found["code"], found["detail"] = failed.Status, failed.Code, failed.Detail
		found["attr"], found["endpoint"], found["retry_after"] = failed.Attr, failed.Endpoint, failed.RetryAfter.Seconds()
	}
	var badRequest *endpoints.BadRequestError
	var unauthorized *endpoints.UnauthorizedError
	var notFound *endpoints.NotFoundError
	var limited *endpoints.RateLimitedError
	var failedServer *endpoints.ServerError
	var unreachable *endpoints.UnreachableError
	var tooLarge *endpoints.IntegerRangeError
	var broken *endpoints.ContractError
	switch {
	case errors.As(err, &badRequest):
		found["name"] = "BadRequest"
	case errors.As(err, &unauthorized):
		found["name"] = "Unauthorized"
	case errors.As(err, &notFound):
		found["name"] = "NotFound"
	case errors.As(err, &limited):
		found["name"] = "RateLimited"
	case errors.As(err, &failedServer):
		found["name"] = "ServerError"
	case errors.As(err, &unreachable):
		found["name"] = "Unreachable"
	case errors.As(err, &tooLarge):
		found["name"], found["column"], found["digits"] = "IntegerRange", tooLarge.Column, tooLarge.Digits
		found["is_broken"] = errors.As(err, &broken)
	case errors.As(err, &broken):
		found["name"] = "Contract"
	case errors.Is(err, endpoints.ErrNoKey):
		found["name"] = "NoKey"
	case errors.Is(err, endpoints.ErrNotAKey):
		found["name"] = "NotAKey"
	case errors.Is(err, endpoints.ErrNotAHost):
		found["name"] = "NotAHost"
	case errors.Is(err, endpoints.ErrPlainHTTP):
		found["name"] = "PlainHTTP"
	case errors.Is(err, endpoints.ErrNoProject):
		found["name"] = "NoProject"
	case errors.Is(err, context.DeadlineExceeded):
		found["name"] = "DeadlineExceeded"
	case errors.Is(err, context.Canceled):
		found["name"] = "Canceled"
	}
	return found
}

func failure[T any](_ T, err error) map[string]any { return seen(err) }

func must[T any](value T, err error) T {
	if err != nil {
		log.Fatal(err)
	}
	return value
}

// answering sends requests on, and changes the answers.
type answering func(*http.Response) *http.Response

func (change answering) RoundTrip(request *http.Request) (*http.Response, error) {
	response, err := http.DefaultTransport.RoundTrip(request)
	if err != nil {
		return nil, err
	}
	return change(response), nil
}

// with is a client whose answers get other values of these keys.
func with(keys string) *endpoints.Client {
	changed := client()
	changed.HTTP = &http.Client{Transport: answering(func(response *http.Response) *http.Response {
		var body map[string]json.RawMessage
		var other map[string]json.RawMessage
		must(0, json.NewDecoder(response.Body).Decode(&body))
		must(0, json.Unmarshal([]byte(keys), &other))
		for key, value := range other {
			body[key] = value
		}
		response.Body = io.NopCloser(bytes.NewReader(must(json.Marshal(body))))
		return response
	})}
	return changed
}

func always(status int, header http.Header, text string) *endpoints.Client {
	changed := client()
	changed.HTTP = &http.Client{Transport: answering(func(response *http.Response) *http.Response {
		response.StatusCode, response.Header = status, header
		response.Body = io.NopCloser(bytes.NewReader([]byte(text)))
		return response
	})}
	return changed
}

// missing is a network without the host.
type missing struct{}

func (missing) RoundTrip(*http.Request) (*http.Response, error) {
	return nil, &net.DNSError{Err: "no such host", Name: "nowhere.invalid", IsNotFound: true}
}

// counting counts how many requests run at once.
type counting struct{ running, most atomic.Int32 }

func (c *counting) RoundTrip(request *http.Request) (*http.Response, error) {
	running := c.running.Add(1)
	defer c.running.Add(-1)
	for most := c.most.Load(); running > most && !c.most.CompareAndSwap(most, running); most = c.most.Load() {
	}
	time.Sleep(100 * time.Millisecond)
	return http.DefaultTransport.RoundTrip(request)
}

func atOnce(count int, call func(int)) {
	var group sync.WaitGroup
	for number := range count {
		group.Add(1)
		go func() {
			defer group.Done()
			call(number)
		}()
	}
	group.Wait()
}

var scenarios = map[string]func() any{
	"rows": func() any {
		answer := must(client().RevenueByPlan(ctx, "2020-01-01", nil))
		var total int64
		for _, row := range answer.Rows {
			total += row.Orders
		}
		options := &endpoints.RevenueByPlanOptions{Plan: endpoints.Value("user signed up")}
		options.Refresh = endpoints.RefreshForce
		other := must(client().RevenueByPlan(ctx, "2020-01-01", options))
		var mrr *string = other.Rows[0].Mrr
		return map[string]any{"total": total, "answer": answer, "other": other.Rows, "mrr": *mrr}
	},
	"types": func() any {
		source := client()
		source.Key, source.KeySource = "", func(context.Context) (string, error) { return os.Getenv("APP_KEY"), nil }
		row := must(source.AllTypes(ctx, nil)).Rows[0]
		var item string = row.Pair.V2
		var text *string = row.NoText
		var moment time.Time = row.Moment
		return map[string]any{"row": row, "item": item, "text": text, "nanoseconds": moment.UnixNano()}
	},
	"odd": func() any {
		row := must(client().Delete(ctx, nil)).Rows[0]
		twice := must(client().Twice(ctx, nil)).Rows[0]
		return map[string]any{
			"row": row, "position": []any{twice.X1, twice.X, twice.X1_2},
			"both": []int64{must(client().AB(ctx, nil)).Rows[0].One, must(client().AB_2(ctx, nil)).Rows[0].Two},
		}
	},
	"empty": func() any { return must(client().Empty(ctx, nil)).Rows },
	"large": func() any {
		big := must(client().Big(ctx, nil)).Rows[0]
		return map[string]any{
			"total": fmt.Sprint(*big.Total), "many": fmt.Sprint(*big.Many[0]), "giant": failure(client().Giant(ctx, nil)),
		}
	},
	"pages": func() any {
		var numbers []int64
		for row, err := range client().AllNumbers(ctx, &endpoints.RowOptions{Limit: 100}) {
			must(0, err)
			numbers = append(numbers, row.Num)
		}
		var first []int64
		for row := range client().AllNumbers(ctx, nil) {
			if first = append(first, row.Num); len(first) == 2 {
				break
			}
		}
		var failed error
		for _, err := range with(`{"endpoint_version": 2}`).AllNumbers(ctx, nil) {
			failed = err
		}
		var noMore error
		for _, err := range with(`{"results": [], "hasMore": true}`).AllNumbers(ctx, nil) {
			noMore = err
		}
		page := must(client().Numbers(ctx, &endpoints.RowOptions{Limit: 2, Offset: 3}))
		return map[string]any{
			"numbers": numbers, "first": first, "failed": seen(failed), "page": page,
			"unknown": must(client().Numbers(ctx, nil)).MayBeTruncated, "noMore": seen(noMore),
		}
	},
	"table": func() any {
		answer := must(client().Sums(ctx, "$pageview", nil))
		options := &endpoints.RowOptions{CallOptions: endpoints.CallOptions{Refresh: endpoints.RefreshDirect}}
		return map[string]any{"answer": answer, "direct": must(client().Sums(ctx, "$pageview", options))}
	},
	"insights": func() any {
		options := &endpoints.ByBrowserOptions{Browser: endpoints.Value("Chrome")}
		series := must(client().ByBrowser(ctx, options)).Rows
		var browsers []string
		var counts []float64
		for _, each := range series {
			browsers = append(browsers, *each.BreakdownValue[0])
			for _, count := range each.Data {
				counts = append(counts, *count)
			}
		}
		var statuses []string
		for _, each := range must(client().Statuses(ctx, nil)).Rows {
			statuses = append(statuses, each.Status)
		}
		var cohorts, steps [][]any
		for _, each := range must(client().Cohorts(ctx, nil)).Rows {
			cohorts = append(cohorts, []any{each.Label, len(each.Values), each.Values[0].Count})
		}
		for _, each := range must(client().Steps(ctx, nil)).Rows {
			steps = append(steps, []any{each.Name, each.Count})
		}
		broken := with(`{"results": [{"label": "a", "data": [], "days": []}]}`)
		return map[string]any{
			"browsers": browsers, "counts": counts, "statuses": statuses, "cohorts": cohorts, "steps": steps,
			"broken": failure(broken.ByBrowser(ctx, nil)), "raw": len(series[0].Raw) > 100,
		}
	},
	"errors": func() any {
		wrongKey, noKey, elsewhere, nowhere, wrongHost := client(), client(), client(), client(), client()
		notAKey := client()
		notAKey.Key, notAKey.MaxWait = notAKey.Key+"\n", time.Hour
		notAHost, noProject := client(), client()
		notAHost.Host, notAHost.MaxWait, noProject.ProjectID = "us.posthog.com", time.Hour, 0
		plainHTTP, allowedHTTP := client(), client()
		plainHTTP.Host, allowedHTTP.Host = "http://posthog.internal", "http://posthog.internal"
		allowedHTTP.AllowPlainHTTP, allowedHTTP.HTTP = true, &http.Client{Transport: missing{}}
		wrongHost.MaxWait, wrongHost.HTTP = time.Hour, &http.Client{Transport: missing{}}
		wrongKey.Key, noKey.Key, elsewhere.ProjectID = "phx_wrong", "", 77
		nowhere.Host, nowhere.MaxWait = "http://127.0.0.1:1", 700*time.Millisecond
		return map[string]any{
			"unauthorized": failure(wrongKey.Numbers(ctx, nil)),
			"badRequest":   failure(client().RevenueByPlan(ctx, "no date", nil)),
			"offset":       failure(client().Numbers(ctx, &endpoints.RowOptions{Offset: 1})),
			"notFound":     failure(elsewhere.Numbers(ctx, nil)),
			"noKey":        failure(noKey.Numbers(ctx, nil)),
			"notAKey":      failure(notAKey.Numbers(ctx, nil)),
			"notAHost":     failure(notAHost.Numbers(ctx, nil)),
			"plainHTTP":    failure(plainHTTP.Numbers(ctx, nil)),
			"allowedHTTP":  failure(allowedHTTP.Numbers(ctx, nil)),
			"noProject":    failure(noProject.Numbers(ctx, nil)),
			"nowhere":      failure(nowhere.Numbers(ctx, nil)),
			"wrongHost":    failure(wrongHost.Numbers(ctx, nil)),
		}
	},
	// the test has set faults before
	"once": func() any {
		patient := client()
		patient.MaxWait = must(time.ParseDuration(os.Args[2] + "ms"))
		answer, err := patient.Numbers(ctx, &endpoints.RowOptions{Limit: 1})
		return map[string]any{"answer": answer, "error": seen(err)}
	},
	"paused": func() any {
		shared := client()
		shared.MaxWait = 3 * time.Second
		return []any{
			failure(shared.Numbers(ctx, nil)), failure(shared.Numbers(ctx, nil)),
			len(must(shared.Sums(ctx, "$pageview", nil)).Rows),
		}
	},
	"slow": func() any {
		began := time.Now()
		impatient := client()
		impatient.Timeout, impatient.MaxWait = 300*time.Millisecond, 400*time.Millisecond
		timeout := failure(impatient.Numbers(ctx, nil))
		short, cancel := context.WithTimeout(ctx, 300*time.Millisecond)
		defer cancel()
		deadline := failure(client().Numbers(short, nil))
		return map[string]any{"timeout": timeout, "deadline": deadline, "quick": time.Since(began) < 3*time.Second}
	},
	"budget": func() any {
		limited := client()
		limited.InlineLimits, limited.MaxWait = endpoints.Limits{PerMinute: 2, Concurrent: 1}, 2*time.Second
		var calls []any
		for range 3 {
			calls = append(calls, failure(limited.Numbers(ctx, nil)))
		}
		negative := client()
		negative.InlineLimits = endpoints.Limits{PerMinute: -1, PerHour: -1, Concurrent: -1}
		hourly := client()
		hourly.InlineLimits, hourly.MaxWait = endpoints.Limits{PerHour: 1}, 2*time.Second
		hour := []any{failure(hourly.Numbers(ctx, nil)), failure(hourly.Numbers(ctx, nil))}
		return map[string]any{
			"calls": calls, "table": len(must(limited.Sums(ctx, "$pageview", nil)).Rows), "hour": hour,
			"negative": failure(negative.Numbers(ctx, nil)),
			"direct": failure(limited.Sums(ctx, "$pageview", &endpoints.RowOptions{
				CallOptions: endpoints.CallOptions{Refresh: endpoints.RefreshDirect},
			})),
		}
	},
	"atOnce": func() any {
		var inline, table counting
		shared := client()
		shared.HTTP = &http.Client{Transport: &inline}
		atOnce(12, func(number int) { must(shared.Numbers(ctx, &endpoints.RowOptions{Limit: number + 1})) })
		shared.HTTP = &http.Client{Transport: &table}
		atOnce(14, func(int) { must(shared.Sums(ctx, "$pageview", nil)) })
		return map[string]any{"inline": inline.most.Load(), "table": table.most.Load()}
	},
	"canceled": func() any {
		shared := client()
		shared.InlineLimits.Concurrent = 1
		arrived, goOn := make(chan struct{}), make(chan struct{})
		shared.HTTP = &http.Client{Transport: answering(func(response *http.Response) *http.Response {
			close(arrived)
			<-goOn
			return response
		})}
		done := make(chan int)
		go func() { done <- len(must(shared.Numbers(ctx, &endpoints.RowOptions{Limit: 1})).Rows) }()
		<-arrived
		waiting, cancel := context.WithCancel(ctx)
		cancel()
		canceled := failure(shared.Numbers(waiting, nil))
		close(goOn)
		rows := <-done
		shared.HTTP = nil
		return map[string]any{"waiting": canceled, "rows": []int{rows, len(must(shared.Numbers(ctx, nil)).Rows)}}
	},
	"answers": func() any {
		location := http.Header{"Location": {"https://example.com"}}
		var echoes []any
		for _, status := range []int{200, 401, 500} {
			echoing := always(status, nil, "Bearer "+os.Getenv("APP_KEY"))
			echoing.MaxWait = 400 * time.Millisecond
			echoes = append(echoes, failure(echoing.Empty(ctx, nil)))
		}
		return map[string]any{
			"version":   failure(with(`{"endpoint_version": 2}`).Empty(ctx, nil)),
			"noVersion": failure(with(`{"endpoint_version": null}`).Empty(ctx, nil)),
			"recreated": failure(with(`{"endpoint_version_created_at": "2031-01-01T00:00:00+00:00"}`).Empty(ctx, nil)),
			"older":     failure(with(`{"endpoint_version_created_at": "2021-01-01T00:00:00+00:00"}`).Empty(ctx, nil)),
			"gone":      failure(with(`{"columns": ["event", "order"]}`).Empty(ctx, nil)),
			"type":      failure(with(`{"types": [["event", "String"], ["orders", "LowCardinality(Nullable(String))"]]}`).Empty(ctx, nil)),
			"width":     failure(with(`{"results": [["a"]]}`).Empty(ctx, nil)),
			"value":     failure(with(`{"results": [["a", "b"]]}`).Empty(ctx, nil)),
			"nothing":   failure(with(`{"results": [[null, 1]]}`).Empty(ctx, nil)),
			"others":    must(with(`{"columns": ["new", "orders", "event"], "types": [], "results": [[0, "12", "a"]]}`).Empty(ctx, nil)).Rows,
			"naive":     failure(with(`{"results": [["2026-07-01T10:00:00"]]}`).Clock(ctx, nil)),
			"echoes":    echoes,
			"html":      failure(always(200, nil, "<html>Log in</html>").Empty(ctx, nil)),
			"redirect":  failure(always(302, location, "").Empty(ctx, nil)),
		}
	},
}

func main() {
	must(0, json.NewEncoder(os.Stdout).Encode(scenarios[os.Args[1]]()))
}
