package endpoints

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Client calls the pinned endpoints with one key. Make one for a key and keep it, because it counts the calls; it is
// safe for goroutines. The zero value of every field but Key and ProjectID is usable.
type Client struct {
	// Key has the scope endpoint:read. KeySource, if it is set, returns the key instead, with each attempt.
	Key       string
	KeySource func(context.Context) (string, error)
	ProjectID int64
	// Host is https://us.posthog.com by default.
	Host string
	// AllowPlainHTTP sends the key over plain http to a host other than this machine, where others can read it on the way.
	AllowPlainHTTP bool
	// Timeout is how long one attempt may take; one minute by default.
	Timeout time.Duration
	// MaxWait is how long a call may take with its retries and waits; one minute by default.
	MaxWait time.Duration
	// Limits replace those that PostHog documents. To share a count, share the client.
	InlineLimits, MaterializedLimits Limits
	// HTTP sends the requests. Redirects are not followed, because they could lead the key to another host.
	HTTP *http.Client

	once                 sync.Once
	inline, materialized *window
}

// Limits say how many calls one key may make in a moving minute, in a moving hour, and at once. A number below 1
// stands for what PostHog documents.
type Limits struct {
	PerMinute, PerHour, Concurrent int
}

// Refresh says where an answer may come from.
type Refresh string

const (
	// RefreshCache takes what the server has in its cache.
	RefreshCache Refresh = "cache"
	// RefreshForce bypasses the cache.
	RefreshForce Refresh = "force"
	// RefreshDirect computes the query and does not read the table of a materialized version.
	RefreshDirect Refresh = "direct"
)

// CallOptions are options of every call.
type CallOptions struct {
	Refresh Refresh
	// Timeout and MaxWait replace those of the client.
	Timeout, MaxWait time.Duration
}

// RowOptions are options of a call that answers with rows. Without Limit, the server returns at most 100 rows of a query
// without LIMIT. Offset needs a Limit.
type RowOptions struct {
	CallOptions
	Limit, Offset int
}

// Answer is what a call returned.
type Answer[Row any] struct {
	Rows []Row
	// HasMore says whether the server has more rows.
	HasMore bool
	// MayBeTruncated says that 100 rows came and no Limit was set: the server may have left out more without saying so.
	MayBeTruncated bool
	// IsFromTable says whether the rows come from a materialized table.
	IsFromTable bool
	// ExecutionID is the id of the call in the endpoint's log.
	ExecutionID string
}

// Value returns a pointer to a value, for optional variables.
func Value[T any](value T) *T {
	return &value
}

// APIError is what the server said of an error. Its kinds are types of their own, for errors.As: BadRequestError,
// UnauthorizedError, ForbiddenError, NotFoundError, RateLimitedError, ServerError. Each of them is an APIError, too.
type APIError struct {
	// Endpoint is the name with the pinned version, such as revenue@3.
	Endpoint string
	// Status is 0 if nothing was sent, because the client's own limits are used up.
	Status int
	// Code is the server's word for the error, such as invalid_input.
	Code   string
	Detail string
	// Attr is the part of the request that is wrong, such as variables.
	Attr string
	// RetryAfter is how long to wait before the next call, if the server or the limits say so.
	RetryAfter time.Duration
}

func (e *APIError) Error() string {
	text := e.Endpoint + ": "
	if e.Status != 0 {
		text += strconv.Itoa(e.Status) + " "
	}
	text += e.Detail
	if e.Attr != "" {
		text += " (" + e.Attr + ")"
	}
	return text
}

// BadRequestError is a 400: unknown or missing variables, a query that fails or takes too long, an inactive version.
type BadRequestError struct{ APIError }

// Unwrap returns the APIError.
func (e *BadRequestError) Unwrap() error { return &e.APIError }

// UnauthorizedError is a 401: the server does not know the key.
type UnauthorizedError struct{ APIError }

// Unwrap returns the APIError.
func (e *UnauthorizedError) Unwrap() error { return &e.APIError }

// ForbiddenError is a 403: the key may not run this endpoint.
type ForbiddenError struct{ APIError }

// Unwrap returns the APIError.
func (e *ForbiddenError) Unwrap() error { return &e.APIError }

// NotFoundError is a 404: the endpoint or the version does not exist, or the endpoint is inactive.
type NotFoundError struct{ APIError }

// Unwrap returns the APIError.
func (e *NotFoundError) Unwrap() error { return &e.APIError }

// RateLimitedError is a 429, or the client's own limits are used up.
type RateLimitedError struct{ APIError }

// Unwrap returns the APIError.
func (e *RateLimitedError) Unwrap() error { return &e.APIError }

// ServerError is a 5xx: the server failed.
type ServerError struct{ APIError }

// Unwrap returns the APIError.
func (e *ServerError) Unwrap() error { return &e.APIError }

// UnreachableError says that no answer arrived: the host cannot be reached, or each attempt took longer than Timeout.
type UnreachableError struct {
	Endpoint string
	Err      error
}

func (e *UnreachableError) Error() string { return e.Endpoint + ": no answer: " + e.Err.Error() }

// Unwrap returns the reason.
func (e *UnreachableError) Unwrap() error { return e.Err }

// ContractError says that an answer is not what the lock promises for the pinned version.
type ContractError struct {
	Endpoint string
	Problem  string
}

func (e *ContractError) Error() string { return e.Endpoint + ": " + e.Problem }

// IntegerRangeError says that an integer is beyond int64. The way out is to select toString(column). It is a
// ContractError, too.
type IntegerRangeError struct {
	ContractError
	Column string
	Digits string
}

// Unwrap returns the ContractError.
func (e *IntegerRangeError) Unwrap() error { return &e.ContractError }

// ErrNoKey says that there is no key. Nothing was sent.
var ErrNoKey = errors.New("there is no key")

// ErrNotAKey says that the key contains a character that no key contains. Nothing was sent.
var ErrNotAKey = errors.New("the key contains a character that no key contains, such as a line break")

// ErrNotAHost says that Host is not the address of a server. Nothing was sent.
var ErrNotAHost = errors.New("Host must be an address such as https://us.posthog.com")

// ErrPlainHTTP says that others could read the key on its way to Host. Nothing was sent.
var ErrPlainHTTP = errors.New("Host is plain http, so others can read the key on the way: use https://, or AllowPlainHTTP")

// ErrNoProject says that ProjectID is not set. Nothing was sent.
var ErrNoProject = errors.New("ProjectID must be the number of a project")

const (
	margin       = time.Second // the server counts a request when it arrives, which is later than here by a varying delay
	minuteWindow = time.Minute + margin
	hourWindow   = time.Hour + margin
	firstPause   = 500 * time.Millisecond
	longestPause = 10 * time.Second
	pageRows     = 10_000
	unpagedRows  = 100
	creationTime = time.Minute
)

// window counts the calls of one key in a moving minute and a moving hour.
type window struct {
	limits Limits
	slots  chan struct{}

	mutex       sync.Mutex
	sent        []time.Time
	pausedUntil time.Time
}

func newWindow(limits, documented Limits) *window {
	if limits.PerMinute < 1 {
		limits.PerMinute = documented.PerMinute
	}
	if limits.PerHour < 1 {
		limits.PerHour = documented.PerHour
	}
	if limits.Concurrent < 1 {
		limits.Concurrent = documented.Concurrent
	}
	return &window{limits: limits, slots: make(chan struct{}, limits.Concurrent)}
}

// acquire counts one call and returns 0, or counts none and returns how long to wait.
func (w *window) acquire() time.Duration {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	now := time.Now()
	if wait := w.pausedUntil.Sub(now); wait > 0 {
		return wait
	}
	old, _ := slices.BinarySearchFunc(w.sent, now.Add(-hourWindow), time.Time.Compare)
	w.sent = slices.Delete(w.sent, 0, old)
	wait := max(w.wait(w.limits.PerMinute, minuteWindow, now), w.wait(w.limits.PerHour, hourWindow, now))
	if wait == 0 {
		w.sent = append(w.sent, now)
	}
	return wait
}

func (w *window) wait(limit int, length time.Duration, now time.Time) time.Duration {
	if len(w.sent) < limit {
		return 0
	}
	return max(0, w.sent[len(w.sent)-limit].Add(length).Sub(now))
}

// pause holds every call back, because the server asked for it.
func (w *window) pause(wait time.Duration) {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	if until := time.Now().Add(min(wait, hourWindow)); until.After(w.pausedUntil) {
		w.pausedUntil = until
	}
}

func (c *Client) window(isMaterialized bool) *window {
	c.once.Do(func() {
		c.inline = newWindow(c.InlineLimits, Limits{PerMinute: 240, PerHour: 2_400, Concurrent: 3})
		c.materialized = newWindow(c.MaterializedLimits, Limits{PerMinute: 1_200, PerHour: 12_000, Concurrent: 10})
	})
	if isMaterialized {
		return c.materialized
	}
	return c.inline
}

// pin is a version of an endpoint. created is when the endpoint was created, empty if the lock does not know it.
type pin struct {
	name         string
	version      int
	created      string
	materialized bool
}

func (p *pin) label() string {
	return p.name + "@" + strconv.Itoa(p.version)
}

func (p *pin) broken(format string, values ...any) *ContractError {
	return &ContractError{Endpoint: p.label(), Problem: fmt.Sprintf(format, values...)}
}

// runAnswer is the body of an answer.
type runAnswer struct {
	Results      json.RawMessage   `json:"results"`
	Columns      []string          `json:"columns"`
	Types        []json.RawMessage `json:"types"`
	HasMore      bool              `json:"hasMore"`
	ExecutionID  string            `json:"execution_id"`
	Version      *int              `json:"endpoint_version"`
	Created      string            `json:"endpoint_version_created_at"`
	Materialized bool              `json:"endpoint_materialized"`
}

// call returns the answer of one call, after retries.
func (c *Client) call(ctx context.Context, p *pin, variables map[string]any, options RowOptions) (*runAnswer, error) {
	body := map[string]any{}
	if len(variables) > 0 {
		body["variables"] = variables
	}
	if options.Limit != 0 {
		body["limit"] = options.Limit
	}
	if options.Offset != 0 {
		body["offset"] = options.Offset
	}
	if options.Refresh != "" {
		body["refresh"] = options.Refresh
	}
	payload, err := json.Marshal(body)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", p.label(), err)
	}
	timeout := cmp.Or(options.Timeout, c.Timeout, time.Minute)
	deadline := time.Now().Add(cmp.Or(options.MaxWait, c.MaxWait, time.Minute))
	limits := c.window(p.materialized && options.Refresh != RefreshDirect)
	for attempt := 0; ; attempt++ {
		if err := c.waitForLimits(ctx, p, limits, deadline); err != nil {
			return nil, err
		}
		answer, err := c.attempt(ctx, p, limits, payload, timeout, deadline)
		if err == nil {
			return answer, p.checkVersion(answer)
		}
		if ctx.Err() != nil {
			return nil, fmt.Errorf("%s: %w", p.label(), context.Cause(ctx))
		}
		var failed *APIError
		var unreachable *UnreachableError
		isAnswered := errors.As(err, &failed)
		if !isAnswered && (!errors.As(err, &unreachable) || isHostWrong(err)) {
			return nil, err
		}
		most := min(longestPause, firstPause<<min(attempt, 10))
		pause := between(most/2, most)
		if isAnswered {
			if !slices.Contains([]int{429, 500, 502, 503, 504}, failed.Status) {
				return nil, err
			}
			if failed.RetryAfter > 0 {
				pause = failed.RetryAfter + between(0, firstPause)
				if failed.Status == http.StatusTooManyRequests {
					limits.pause(failed.RetryAfter)
				}
			}
		}
		if pause >= time.Until(deadline) {
			return nil, err
		}
		if err := sleep(ctx, pause); err != nil {
			return nil, fmt.Errorf("%s: %w", p.label(), err)
		}
	}
}

// isHostWrong says that the name of the host does not exist, or that its certificate is not trusted.
func isHostWrong(err error) bool {
	var lookup *net.DNSError
	var certificate *tls.CertificateVerificationError
	return (errors.As(err, &lookup) && lookup.IsNotFound) || errors.As(err, &certificate)
}

func (c *Client) waitForLimits(ctx context.Context, p *pin, limits *window, deadline time.Time) error {
	for {
		wait := limits.acquire()
		if wait == 0 {
			return nil
		}
		if wait >= time.Until(deadline) {
			detail := fmt.Sprintf("the limits of the key are used up; the next call is possible in %s", wait.Round(time.Second))
			return &RateLimitedError{APIError{Endpoint: p.label(), Code: "budget", Detail: detail, RetryAfter: wait}}
		}
		if err := sleep(ctx, wait+between(0, 50*time.Millisecond)); err != nil {
			return fmt.Errorf("%s: %w", p.label(), err)
		}
	}
}

// isLoopback tells whether requests to this host stay on this machine.
func isLoopback(host string) bool {
	return host == "localhost" || net.ParseIP(host).IsLoopback()
}

// attempt sends one request, as soon as fewer than the limit run.
func (c *Client) attempt(ctx context.Context, p *pin, limits *window, payload []byte, timeout time.Duration, deadline time.Time) (*runAnswer, error) {
	waiting, leave := context.WithDeadline(ctx, deadline)
	defer leave()
	select {
	case limits.slots <- struct{}{}:
		defer func() { <-limits.slots }()
	case <-waiting.Done():
		detail := "other calls with the key took all slots until MaxWait"
		return nil, &RateLimitedError{APIError{Endpoint: p.label(), Code: "budget", Detail: detail}}
	}
	ctx, cancel := context.WithTimeout(waiting, timeout)
	defer cancel()
	key := c.Key
	if c.KeySource != nil {
		var err error
		if key, err = c.KeySource(ctx); err != nil {
			return nil, fmt.Errorf("%s: %w", p.label(), err)
		}
	}
	if key == "" {
		return nil, fmt.Errorf("%s: %w", p.label(), ErrNoKey)
	}
	if strings.ContainsFunc(key, func(character rune) bool { return character < '!' || character > '~' }) {
		return nil, fmt.Errorf("%s: %w", p.label(), ErrNotAKey)
	}
	host := strings.TrimRight(cmp.Or(c.Host, "https://us.posthog.com"), "/")
	url := fmt.Sprintf("%s/api/projects/%d/endpoints/%s/run?version=%d", host, c.ProjectID, p.name, p.version)
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(payload))
	if err != nil {
		return nil, fmt.Errorf("%s: %w, not %q", p.label(), ErrNotAHost, host)
	}
	if !slices.Contains([]string{"http", "https"}, request.URL.Scheme) || request.URL.Host == "" {
		return nil, fmt.Errorf("%s: %w, not %q", p.label(), ErrNotAHost, host)
	}
	if request.URL.Scheme == "http" && !c.AllowPlainHTTP && !isLoopback(request.URL.Hostname()) {
		return nil, fmt.Errorf("%s: %w", p.label(), ErrPlainHTTP)
	}
	if c.ProjectID <= 0 {
		return nil, fmt.Errorf("%s: %w, not %d", p.label(), ErrNoProject, c.ProjectID)
	}
	request.Header.Set("Authorization", "Bearer "+key)
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Accept", "application/json")
	var client http.Client
	if c.HTTP != nil {
		client = *c.HTTP
	}
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	response, err := client.Do(request)
	if err != nil {
		return nil, &UnreachableError{Endpoint: p.label(), Err: err}
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return nil, &UnreachableError{Endpoint: p.label(), Err: err}
	}
	masked := bytes.ReplaceAll(text, []byte(key), []byte("…"))
	if response.StatusCode != http.StatusOK {
		return nil, p.refused(response, masked)
	}
	answer := new(runAnswer)
	if err := json.Unmarshal(text, answer); err != nil {
		detail := "not the answer of an endpoint: " + excerpt(masked)
		return nil, &APIError{Endpoint: p.label(), Status: 200, Code: "bad_answer", Detail: detail}
	}
	return answer, nil
}

// refused is the error of an answer that is not a 200.
func (p *pin) refused(response *http.Response, text []byte) error {
	var body struct {
		Code, Detail, Attr, Error *string
	}
	if json.Unmarshal(text, &body) != nil {
		body.Detail = nil
	}
	status := response.StatusCode
	failed := APIError{
		Endpoint:   p.label(),
		Status:     status,
		Code:       textOr(body.Code, ""),
		Detail:     textOr(body.Detail, textOr(body.Error, excerpt(text))),
		Attr:       textOr(body.Attr, ""),
		RetryAfter: retryAfter(response.Header.Get("Retry-After")),
	}
	if status >= 300 && status < 400 {
		failed.Detail = "a redirect, which is not followed with the key: is the host right?"
	}
	switch {
	case status == http.StatusBadRequest:
		return &BadRequestError{failed}
	case status == http.StatusUnauthorized:
		return &UnauthorizedError{failed}
	case status == http.StatusForbidden:
		return &ForbiddenError{failed}
	case status == http.StatusNotFound:
		return &NotFoundError{failed}
	case status == http.StatusTooManyRequests:
		return &RateLimitedError{failed}
	case status >= 500:
		return &ServerError{failed}
	}
	return &failed
}

// retryAfter reads the header Retry-After, seconds or a date; 0 without one.
func retryAfter(header string) time.Duration {
	if seconds, err := strconv.ParseFloat(strings.TrimSpace(header), 64); err == nil && seconds >= 0 {
		return time.Duration(min(seconds, hourWindow.Seconds()) * float64(time.Second))
	}
	if date, err := http.ParseTime(header); err == nil {
		return min(max(0, time.Until(date)), hourWindow)
	}
	return 0
}

// checkVersion reports an answer from another version, or from a new endpoint of the same name.
func (p *pin) checkVersion(answer *runAnswer) error {
	if answer.Version == nil {
		return p.broken("the answer does not name its version")
	}
	if *answer.Version != p.version {
		return p.broken("the answer is from version %d", *answer.Version)
	}
	pinned, err := time.Parse(time.RFC3339Nano, p.created)
	answered, other := time.Parse(time.RFC3339Nano, answer.Created)
	if err != nil || other != nil {
		return nil
	}
	// an endpoint and its first version are created together, and no other version is older
	if later := answered.Sub(pinned); later < -creationTime || (p.version == 1 && later > creationTime) {
		return p.broken("the endpoint was deleted and created again since the lock was written")
	}
	return nil
}

// column says how a value is read. word is the server's word for its type, empty if it is unknown.
type column struct {
	name, word string
	read       func(target any, raw json.RawMessage) error
}

// decoder reads a value of JSON.
type decoder[T any] func(json.RawMessage) (T, error)

// into reads a value into the field that a row has for it.
func into[T any](decode decoder[T]) func(target any, raw json.RawMessage) error {
	return func(target any, raw json.RawMessage) (err error) {
		*target.(*T), err = decode(raw)
		return err
	}
}

// row is a pointer to a row, whose fields are in the order of the columns.
type row[Row any] interface {
	*Row
	fields() []any
}

// runRows calls a pin whose answers are rows. byPosition: several columns have the same name.
func runRows[Row any, Pointer row[Row]](ctx context.Context, c *Client, p *pin, columns []column, byPosition bool, variables map[string]any, options RowOptions) (*Answer[Row], error) {
	answer, err := c.call(ctx, p, variables, options)
	if err != nil {
		return nil, err
	}
	var results [][]json.RawMessage
	if answer.Columns == nil || json.Unmarshal(answer.Results, &results) != nil {
		return nil, p.broken("the answer has no rows with columns")
	}
	indexes := make([]int, len(columns))
	for position, wanted := range columns {
		indexes[position] = slices.Index(answer.Columns, wanted.name)
		if byPosition && position < len(answer.Columns) && answer.Columns[position] == wanted.name {
			indexes[position] = position
		}
		if indexes[position] < 0 || (byPosition && indexes[position] != position) {
			return nil, p.broken("column %q is missing; the answer has %s", wanted.name, strings.Join(answer.Columns, ", "))
		}
		if written, word := typeOf(answer, indexes[position]); word != "" && wanted.word != "" && word != wanted.word {
			return nil, p.broken("the type of column %q changed: %s; it was %s", wanted.name, written, wanted.word)
		}
	}
	rows := make([]Row, len(results))
	for number, values := range results {
		if len(values) != len(answer.Columns) {
			return nil, p.broken("a row does not have %d values, one for each column", len(answer.Columns))
		}
		for position, field := range Pointer(&rows[number]).fields() {
			wanted := columns[position]
			if err := wanted.read(field, values[indexes[position]]); err != nil {
				return nil, p.wrongValue(wanted.name, err)
			}
		}
	}
	return answerWith(answer, rows, options.Limit == 0 && len(rows) == unpagedRows && !answer.HasMore), nil
}

// runUnknownRows calls a pin whose columns the lock does not know.
func runUnknownRows(ctx context.Context, c *Client, p *pin, variables map[string]any, options RowOptions) (*Answer[map[string]json.RawMessage], error) {
	answer, err := c.call(ctx, p, variables, options)
	if err != nil {
		return nil, err
	}
	var results [][]json.RawMessage
	if answer.Columns == nil || json.Unmarshal(answer.Results, &results) != nil {
		return nil, p.broken("the answer has no rows with columns")
	}
	rows := make([]map[string]json.RawMessage, len(results))
	for number, values := range results {
		if len(values) != len(answer.Columns) {
			return nil, p.broken("a row does not have %d values, one for each column", len(answer.Columns))
		}
		rows[number] = make(map[string]json.RawMessage, len(values))
		for index, value := range values {
			rows[number][answer.Columns[index]] = value
		}
		if len(rows[number]) != len(values) {
			return nil, p.broken("several columns have the same name: %s", strings.Join(answer.Columns, ", "))
		}
	}
	return answerWith(answer, rows, options.Limit == 0 && len(rows) == unpagedRows && !answer.HasMore), nil
}

func answerWith[Row any](answer *runAnswer, rows []Row, mayBeTruncated bool) *Answer[Row] {
	return &Answer[Row]{
		Rows:           rows,
		HasMore:        answer.HasMore,
		MayBeTruncated: mayBeTruncated,
		IsFromTable:    answer.Materialized,
		ExecutionID:    answer.ExecutionID,
	}
}

// pages returns all rows of a call, page by page. Rows can be missing or repeated unless the query has ORDER BY a unique
// column.
func pages[Row any](p *pin, options RowOptions, run func(RowOptions) (*Answer[Row], error)) iter.Seq2[Row, error] {
	return func(yield func(Row, error) bool) {
		options := options
		options.Limit = cmp.Or(options.Limit, pageRows)
		for {
			answer, err := run(options)
			if err != nil {
				var none Row
				yield(none, err)
				return
			}
			for _, row := range answer.Rows {
				if !yield(row, nil) {
					return
				}
			}
			if !answer.HasMore {
				return
			}
			if len(answer.Rows) == 0 {
				var none Row
				yield(none, p.broken("the server says that there are more rows, but sent none"))
				return
			}
			options.Offset += len(answer.Rows)
		}
	}
}

// wrongValue is the error of a value that is not what the pin promises.
func (p *pin) wrongValue(column string, err error) error {
	var tooLarge integerRange
	if errors.As(err, &tooLarge) {
		digits := string(tooLarge)
		broken := p.broken("column %q is %s, which an int64 cannot hold: select toString(…) instead", column, digits)
		return &IntegerRangeError{ContractError: *broken, Column: column, Digits: digits}
	}
	return p.broken("column %q %s", column, err)
}

// integerRange is an integer that an int64 cannot hold.
type integerRange string

func (e integerRange) Error() string { return "is " + string(e) }

func wrong(expected string, raw json.RawMessage) error {
	return fmt.Errorf("must be %s, not %s", expected, excerpt(raw))
}

func isNull(raw json.RawMessage) bool {
	return string(raw) == "null"
}

func anyValue(raw json.RawMessage) (json.RawMessage, error) {
	return raw, nil
}

func integer(raw json.RawMessage) (int64, error) {
	digits := strings.Trim(string(raw), `"`)
	number, err := strconv.ParseInt(digits, 10, 64)
	if errors.Is(err, strconv.ErrRange) {
		return 0, integerRange(digits)
	}
	if err != nil {
		return 0, wrong("an integer", raw)
	}
	return number, nil
}

func float(raw json.RawMessage) (number float64, err error) {
	if isNull(raw) || json.Unmarshal(raw, &number) != nil {
		return 0, wrong("a number", raw)
	}
	return number, nil
}

func text(raw json.RawMessage) (value string, err error) {
	if isNull(raw) || json.Unmarshal(raw, &value) != nil {
		return "", wrong("a string", raw)
	}
	return value, nil
}

// decimal keeps the digits of a decimal as they were sent.
func decimal(raw json.RawMessage) (string, error) {
	var number json.Number
	if isNull(raw) || json.Unmarshal(raw, &number) != nil {
		return "", wrong("a decimal", raw)
	}
	return number.String(), nil
}

func boolean(raw json.RawMessage) (bool, error) {
	switch string(raw) {
	case "true", "1":
		return true, nil
	case "false", "0":
		return false, nil
	}
	return false, wrong("a boolean", raw)
}

// moment reads a time, which always has an offset.
func moment(raw json.RawMessage) (time.Time, error) {
	written, err := text(raw)
	if err != nil {
		return time.Time{}, wrong("a time", raw)
	}
	value, err := time.Parse(time.RFC3339Nano, written)
	if err != nil {
		return time.Time{}, wrong("a time with an offset (RFC 3339)", raw)
	}
	return value, nil
}

func nullable[T any](decode decoder[T]) decoder[*T] {
	return func(raw json.RawMessage) (*T, error) {
		if isNull(raw) {
			return nil, nil
		}
		value, err := decode(raw)
		if err != nil {
			return nil, err
		}
		return &value, nil
	}
}

func listOf[T any](decode decoder[T]) decoder[[]T] {
	return func(raw json.RawMessage) ([]T, error) {
		var items []json.RawMessage
		if isNull(raw) || json.Unmarshal(raw, &items) != nil {
			return nil, wrong("a list", raw)
		}
		values := make([]T, len(items))
		for index, item := range items {
			value, err := decode(item)
			if err != nil {
				return nil, err
			}
			values[index] = value
		}
		return values, nil
	}
}

func mapOf[T any](decode decoder[T]) decoder[map[string]T] {
	return func(raw json.RawMessage) (map[string]T, error) {
		var items map[string]json.RawMessage
		if isNull(raw) || json.Unmarshal(raw, &items) != nil {
			return nil, wrong("an object", raw)
		}
		values := make(map[string]T, len(items))
		for key, item := range items {
			value, err := decode(item)
			if err != nil {
				return nil, err
			}
			values[key] = value
		}
		return values, nil
	}
}

// itemsOf returns the items of a tuple, which is a list, or an object if its items have names.
func itemsOf(raw json.RawMessage, count int) ([]json.RawMessage, error) {
	var items []json.RawMessage
	if bytes.HasPrefix(raw, []byte("{")) {
		object := json.NewDecoder(bytes.NewReader(raw))
		for _, err := object.Token(); err == nil && object.More(); {
			var item json.RawMessage
			if _, err = object.Token(); err == nil {
				err = object.Decode(&item)
			}
			items = append(items, item)
		}
	} else if json.Unmarshal(raw, &items) != nil {
		items = nil
	}
	if len(items) != count {
		return nil, wrong(fmt.Sprintf("a tuple of %d values", count), raw)
	}
	return items, nil
}

// typeOf returns the type that an answer names for a column, and the server's word for it; empty if there is none.
func typeOf(answer *runAnswer, index int) (written, word string) {
	if index >= len(answer.Types) {
		return "", ""
	}
	var pair [2]string
	if json.Unmarshal(answer.Types[index], &pair) == nil {
		written = pair[1]
	} else if json.Unmarshal(answer.Types[index], &written) != nil {
		return "", ""
	}
	bare := unwrapped(written)
	for _, known := range [][2]string{
		{"Int", "integer"}, {"UInt", "integer"}, {"Float", "float"}, {"BFloat", "float"}, {"Decimal", "decimal"},
		{"String", "string"}, {"FixedString", "string"}, {"UUID", "string"}, {"Enum", "string"},
		{"DateTime", "datetime"}, {"Date", "date"}, {"Bool", "boolean"},
		{"Array", "array"}, {"Tuple", "json"}, {"Map", "json"},
	} {
		if strings.HasPrefix(bare, known[0]) {
			return written, known[1]
		}
	}
	return written, ""
}

// unwrapped returns a type without Nullable, LowCardinality and SimpleAggregateFunction around it.
func unwrapped(written string) string {
	bare := strings.TrimSpace(written)
	name, rest, hasArguments := strings.Cut(strings.TrimSuffix(bare, ")"), "(")
	if !hasArguments {
		return bare
	}
	switch name {
	case "Nullable", "LowCardinality":
		return unwrapped(rest)
	case "SimpleAggregateFunction":
		_, kind, _ := strings.Cut(rest, ",")
		return unwrapped(kind)
	}
	return bare
}

func excerpt(text []byte) string {
	if len(text) > 120 {
		return strings.ToValidUTF8(string(text[:120]), "") + "…"
	}
	return string(text)
}

func orZero[T any](value *T) (or T) {
	if value != nil {
		or = *value
	}
	return or
}

func textOr(value *string, other string) string {
	if value == nil {
		return other
	}
	return *value
}

func between(least, most time.Duration) time.Duration {
	return least + time.Duration(rand.Float64()*float64(most-least))
}

func sleep(ctx context.Context, wait time.Duration) error {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
