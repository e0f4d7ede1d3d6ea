package httpapi

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/steppe-project/steppe/agent/httpapi/fault"
	"github.com/steppe-project/steppe/agent/rpc/msg"
	"github.com/steppe-project/steppe/model"
)

// errDone: the handler has written its answer.
var errDone = errors.New("answered")

// MaxWait is the longest a blocking query waits; more is cut to it.
const MaxWait = 5 * time.Minute

// request is one HTTP request on its way through a handler.
type request struct {
	s     *Server
	w     http.ResponseWriter
	r     *http.Request
	route *Route
	query msg.QueryOptions
}

func (q *request) run(h Handler) (any, error) {
	if err := q.parseQuery(); err != nil {
		return nil, asBadRequest(err)
	}
	if q.route.Here && q.foreign() {
		if err := q.knownRegion(); err != nil {
			return nil, err
		}
	}
	return h(q)
}

func bad(format string, args ...any) error { return model.Errorf(model.CodeInvalid, format, args...) }

func (q *request) param(name string) string { return q.r.URL.Query().Get(name) }

// flag is a boolean parameter: present without value counts as true.
func (q *request) flag(name string) (bool, error) {
	v, ok := q.r.URL.Query()[name]
	if !ok {
		return false, nil
	}
	if len(v) == 0 || v[0] == "" {
		return true, nil
	}
	b, err := strconv.ParseBool(v[0])
	if err != nil {
		return false, bad("Failed to parse value of %q (%q) as a bool: %v", name, v[0], err)
	}
	return b, nil
}

func (q *request) number(name string) (int64, error) {
	v := q.param(name)
	if v == "" {
		return 0, nil
	}
	n, err := strconv.ParseInt(v, 10, 64)
	if err != nil || n < 0 {
		return 0, bad("Failed to parse value of %q (%q) as a number", name, v)
	}
	return n, nil
}

func (q *request) token() string {
	if t := q.r.Header.Get("X-Nomad-Token"); t != "" {
		return t
	}
	if t := q.r.Header.Get("X-Steppe-Token"); t != "" {
		return t
	}
	auth := q.r.Header.Get("Authorization")
	if len(auth) > 7 && strings.EqualFold(auth[:7], "bearer ") {
		return strings.TrimSpace(auth[7:])
	}
	return ""
}

func (q *request) parseQuery() error {
	o := &q.query
	o.Region, o.Namespace = q.param("region"), q.param("namespace")
	o.AuthToken = q.token()
	o.Prefix, o.Filter, o.NextToken = q.param("prefix"), q.param("filter"), q.param("next_token")
	var err error
	if o.Stale, err = q.flag("stale"); err != nil {
		return err
	}
	if o.Consistent, err = q.flag("consistent"); err != nil {
		return err
	}
	if o.Reverse, err = q.flag("reverse"); err != nil {
		return err
	}
	perPage, err := q.number("per_page")
	if err != nil {
		return err
	}
	o.PerPage = int(min(perPage, 1<<30))
	if v := q.param("index"); v != "" {
		if o.MinIndex, err = strconv.ParseUint(v, 10, 64); err != nil {
			return bad("Invalid index")
		}
	}
	if v := q.param("wait"); v != "" {
		d, err := time.ParseDuration(v)
		if err != nil || d < 0 {
			return bad("Invalid wait time")
		}
		o.MaxWait = min(d, MaxWait)
	}
	return nil
}

// writeOptions go with a write. One for another region always has a request id:
// its servers are tried one after the other, and none applies it again.
func (q *request) writeOptions() msg.WriteOptions {
	id := q.param("idempotency_token")
	if id == "" && q.foreign() {
		id = uuid.NewString()
	}
	return msg.WriteOptions{Region: q.query.Region, Namespace: q.query.Namespace, AuthToken: q.query.AuthToken, RequestID: id}
}

// body decodes the request's JSON into v. Empty is an error unless optional.
func (q *request) body(v any, optional bool) error {
	raw, err := q.rawBody(MaxBodyBytes)
	if err != nil {
		return err
	}
	if len(bytes.TrimSpace(raw)) == 0 {
		if optional {
			return nil
		}
		return bad("Request body is empty")
	}
	if err := json.Unmarshal(raw, v); err != nil {
		return bad("%s", fault.JSON(raw, err))
	}
	return nil
}

func (q *request) rawBody(limit int64) ([]byte, error) {
	raw, err := io.ReadAll(http.MaxBytesReader(q.w, q.r.Body, limit))
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return nil, &statusError{http.StatusRequestEntityTooLarge, fmt.Sprintf("request body is larger than the limit of %d MB", limit>>20)}
	case err != nil:
		return nil, bad("the request body ended early: %v", err)
	}
	return raw, nil
}

// statusError is an answer with a status of its own.
type statusError struct {
	status int
	text   string
}

func (e *statusError) Error() string { return e.text }

// writeError is the one place where a code becomes a status.
func (q *request) writeError(err error) {
	status := http.StatusInternalServerError
	var own *statusError
	if errors.As(err, &own) {
		status = own.status
	} else {
		switch model.CodeOf(err) {
		case model.CodeInvalid:
			status = http.StatusBadRequest
			if q.route.FaultStatus != 0 && q.r.Method != http.MethodGet {
				status = q.route.FaultStatus
			}
		case model.CodeNotFound:
			status = http.StatusNotFound
		case model.CodeConflict:
			status = http.StatusConflict
			if q.route.FaultStatus != 0 {
				status = q.route.FaultStatus
			}
		case model.CodeDenied:
			status = http.StatusForbidden
		}
	}
	text := err.Error()
	if model.CodeOf(err) == model.CodeNotLeader || model.CodeOf(err) == model.CodeUnavailable {
		q.s.cfg.Logger.Debug("request failed", "path", q.r.URL.Path, "error", err)
	}
	q.w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	q.w.Header().Set("X-Content-Type-Options", "nosniff")
	q.w.WriteHeader(status)
	_, _ = io.WriteString(q.w, text)
}

func (q *request) writeJSON(v any) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	pretty, _ := q.flag("pretty")
	if pretty {
		enc.SetIndent("", "    ")
	}
	if err := enc.Encode(v); err != nil {
		q.writeError(model.Errorf(model.CodeInternal, "encoding the answer: %w", err))
		return
	}
	out := b.Bytes()
	if !pretty {
		out = bytes.TrimSuffix(out, []byte("\n"))
	}
	q.w.Header().Set("Content-Type", "application/json")
	_, _ = q.w.Write(out) // a reader that is gone needs no answer
}

// meta sets the headers of a read.
func (q *request) meta(m msg.QueryMeta) {
	h := q.w.Header()
	h.Set("X-Nomad-Index", strconv.FormatUint(max(m.Index, 1), 10))
	h.Set("X-Nomad-Knownleader", strconv.FormatBool(m.KnownLeader))
	h.Set("X-Nomad-Lastcontact", strconv.FormatInt(m.LastContact.Milliseconds(), 10))
	if m.NextToken != "" {
		h.Set("X-Nomad-Nexttoken", m.NextToken)
	}
}

// index sets the header of a write.
func (q *request) index(i uint64) {
	q.w.Header().Set("X-Nomad-Index", strconv.FormatUint(i, 10))
}

// orEmpty makes nil an empty list: clients expect [].
func orEmpty[T any](in []T) []T {
	if in == nil {
		return []T{}
	}
	return in
}
