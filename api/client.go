// Package api is the Go client of Steppe's HTTP API. It speaks package model:
// what the server stores is what a call returns.
//
//	c, err := api.New(api.FromEnv())
//	jobs, meta, err := c.Jobs().List(ctx, &api.Query{Prefix: "web"})
//
// Errors of the server are *model.Error with the code that its status stands
// for and its text; a server that cannot be reached is CodeUnavailable.
package api

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/steppe-project/steppe/model"
)

// DefaultAddress is where an agent listens when nothing is configured.
const DefaultAddress = "http://127.0.0.1:4646"

// Config says where and as whom to call.
type Config struct {
	// Address is http(s)://host:port or unix:///path.
	Address   string
	Region    string
	Namespace string
	Token     string
	TLS       TLSConfig
	// Dial opens connections, nil = directly. It serves agents that are reached
	// through a tunnel or in another network namespace.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
}

// TLSConfig names the files of an https address.
type TLSConfig struct {
	CACert, ClientCert, ClientKey, ServerName string
	SkipVerify                                bool
}

// env reads STEPPE_name, or NOMAD_name.
func env(name string) string {
	if v := os.Getenv("STEPPE_" + name); v != "" {
		return v
	}
	return os.Getenv("NOMAD_" + name)
}

// FromEnv is the configuration of STEPPE_ADDR, _REGION, _NAMESPACE, _TOKEN,
// _CACERT, _CLIENT_CERT, _CLIENT_KEY, _TLS_SERVER_NAME and _SKIP_VERIFY, each
// with NOMAD_ as fallback.
func FromEnv() Config {
	skip, _ := strconv.ParseBool(env("SKIP_VERIFY"))
	return Config{
		Address: env("ADDR"), Region: env("REGION"), Namespace: env("NAMESPACE"), Token: env("TOKEN"),
		TLS: TLSConfig{
			CACert: env("CACERT"), ClientCert: env("CLIENT_CERT"), ClientKey: env("CLIENT_KEY"),
			ServerName: env("TLS_SERVER_NAME"), SkipVerify: skip,
		},
	}
}

// Client calls one agent. Safe for concurrent use.
type Client struct {
	cfg  Config
	base *url.URL
	http *http.Client
}

// New checks the configuration; nothing is contacted yet.
func New(cfg Config) (*Client, error) {
	if cfg.Address == "" {
		cfg.Address = DefaultAddress
	}
	if !strings.Contains(cfg.Address, "://") {
		cfg.Address = "http://" + cfg.Address
	}
	u, err := url.Parse(cfg.Address)
	if err != nil {
		return nil, model.Errorf(model.CodeInvalid, "address %q: %w", cfg.Address, err)
	}
	t := &http.Transport{
		MaxIdleConnsPerHost: 8, IdleConnTimeout: time.Minute, TLSHandshakeTimeout: 10 * time.Second,
		DialContext: (&net.Dialer{Timeout: 10 * time.Second}).DialContext, Proxy: http.ProxyFromEnvironment,
	}
	if cfg.Dial != nil {
		t.DialContext, t.Proxy = cfg.Dial, nil
	}
	switch u.Scheme {
	case "http":
	case "https":
		if t.TLSClientConfig, err = cfg.TLS.Load(); err != nil {
			return nil, err
		}
	case "unix":
		path := u.Path
		t.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", path)
		}
		u = &url.URL{Scheme: "http", Host: "unix"}
	default:
		return nil, model.Errorf(model.CodeInvalid, "address %q: the scheme is not http, https or unix", cfg.Address)
	}
	return &Client{cfg: cfg, base: u, http: &http.Client{Transport: t}}, nil
}

// WithRegion is a client of the same agent whose requests are for another region.
func (c *Client) WithRegion(region string) *Client {
	other := *c
	other.cfg.Region = region
	return &other
}

// Config is what the client was made with.
func (c *Client) Config() Config { return c.cfg }

// Load reads the files.
func (t TLSConfig) Load() (*tls.Config, error) {
	out := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: t.ServerName, InsecureSkipVerify: t.SkipVerify} //nolint:gosec // asked for by name
	if t.CACert != "" {
		pem, err := os.ReadFile(t.CACert)
		if err != nil {
			return nil, model.Errorf(model.CodeInvalid, "CA certificate: %w", err)
		}
		out.RootCAs = x509.NewCertPool()
		if !out.RootCAs.AppendCertsFromPEM(pem) {
			return nil, model.Errorf(model.CodeInvalid, "CA certificate %s holds no certificate in PEM form", t.CACert)
		}
	}
	if t.ClientCert != "" {
		pair, err := tls.LoadX509KeyPair(t.ClientCert, t.ClientKey)
		if err != nil {
			return nil, model.Errorf(model.CodeInvalid, "client certificate: %w", err)
		}
		out.Certificates = []tls.Certificate{pair}
	}
	return out, nil
}

// Query are the options of a read. The zero value is fine.
type Query struct {
	Namespace string // "" = the client's
	Stale     bool
	// Index and Wait make a blocking query: it returns when the answer's index
	// is above Index, or after Wait (at most 5 minutes).
	Index     uint64
	Wait      time.Duration
	Prefix    string
	Filter    string
	PerPage   int
	NextToken string
	Reverse   bool
	Params    map[string]string
}

// Meta comes with every answer.
type Meta struct {
	Index       uint64
	KnownLeader bool
	LastContact time.Duration
	NextToken   string
}

func (c *Client) values(q *Query) url.Values {
	v := url.Values{}
	set := func(k, val string) {
		if val != "" {
			v.Set(k, val)
		}
	}
	set("region", c.cfg.Region)
	ns := c.cfg.Namespace
	if q != nil {
		if q.Namespace != "" {
			ns = q.Namespace
		}
		if q.Stale {
			v.Set("stale", "true")
		}
		if q.Index > 0 {
			v.Set("index", strconv.FormatUint(q.Index, 10))
			if q.Wait > 0 {
				v.Set("wait", q.Wait.String())
			}
		}
		set("prefix", q.Prefix)
		set("filter", q.Filter)
		set("next_token", q.NextToken)
		if q.PerPage > 0 {
			v.Set("per_page", strconv.Itoa(q.PerPage))
		}
		if q.Reverse {
			v.Set("reverse", "true")
		}
		for k, val := range q.Params {
			v.Set(k, val)
		}
	}
	set("namespace", ns)
	return v
}

// Do sends one request. path is escaped already; body may be nil. The caller
// closes the answer's body. A status of 400 or above is an error.
func (c *Client) Do(ctx context.Context, method, path string, q *Query, body io.Reader) (*http.Response, error) {
	resp, err := c.send(ctx, method, path, q, body)
	if err == nil && resp.StatusCode >= http.StatusBadRequest {
		defer resp.Body.Close()
		return nil, answerError(resp)
	}
	return resp, err
}

// send is Do without a look at the status.
func (c *Client) send(ctx context.Context, method, path string, q *Query, body io.Reader) (*http.Response, error) {
	v := c.values(q)
	path, inPath, _ := strings.Cut(path, "?")
	if extra, err := url.ParseQuery(inPath); err == nil {
		for k, vals := range extra {
			v[k] = vals
		}
	}
	target := strings.TrimSuffix(c.base.String(), "/") + path
	if enc := v.Encode(); enc != "" {
		target += "?" + enc
	}
	req, err := http.NewRequestWithContext(ctx, method, target, body)
	if err != nil {
		return nil, model.Errorf(model.CodeInvalid, "request: %w", err)
	}
	if c.cfg.Token != "" {
		req.Header.Set("X-Nomad-Token", c.cfg.Token)
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := c.http.Do(req)
	if err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		var cause *url.Error
		if errors.As(err, &cause) {
			err = cause.Err // without the method and the URL
		}
		return nil, model.Errorf(model.CodeUnavailable, "no agent answers at %s: %w", c.cfg.Address, explainTLS(err))
	}
	return resp, nil
}

// maxErrorText bounds what is read of an error's text.
const maxErrorText = 64 << 10

func answerError(resp *http.Response) error {
	text, _ := io.ReadAll(io.LimitReader(resp.Body, maxErrorText))
	msg := explainAnswer(strings.TrimSpace(string(text)))
	if msg == "" {
		msg = resp.Status
	}
	code := model.CodeInternal
	switch resp.StatusCode {
	case http.StatusBadRequest, http.StatusRequestEntityTooLarge, http.StatusMethodNotAllowed:
		code = model.CodeInvalid
	case http.StatusNotFound:
		code = model.CodeNotFound
	case http.StatusConflict:
		code = model.CodeConflict
	case http.StatusForbidden, http.StatusUnauthorized:
		code = model.CodeDenied
	case http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		code = model.CodeUnavailable
	}
	return model.Errorf(code, "%s", msg)
}

func (c *Client) call(ctx context.Context, method, path string, q *Query, in, out any) (Meta, error) {
	var body io.Reader
	if in != nil {
		b, err := json.Marshal(in)
		if err != nil {
			return Meta{}, model.Errorf(model.CodeInvalid, "encoding the request: %w", err)
		}
		body = bytes.NewReader(b)
	}
	resp, err := c.Do(ctx, method, path, q, body)
	if err != nil {
		return Meta{}, err
	}
	defer resp.Body.Close()
	meta := metaOf(resp.Header)
	if out == nil {
		_, err = io.Copy(io.Discard, resp.Body)
		return meta, err
	}
	if err := json.NewDecoder(resp.Body).Decode(out); err != nil && err != io.EOF {
		return meta, answerFault(ctx, path, err)
	}
	return meta, nil
}

// answerFault tells an answer that is not what it should be from one that was
// cut off.
func answerFault(ctx context.Context, path string, err error) error {
	var syntax *json.SyntaxError
	var kind *json.UnmarshalTypeError
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.As(err, &syntax) || errors.As(err, &kind):
		return model.Errorf(model.CodeInternal, "the answer of %s is not what was expected: %w", path, err)
	}
	return model.Errorf(model.CodeUnavailable, "the answer of %s was cut off: %w", path, err)
}

func metaOf(h http.Header) Meta {
	var m Meta
	m.Index, _ = strconv.ParseUint(h.Get("X-Nomad-Index"), 10, 64)
	m.KnownLeader, _ = strconv.ParseBool(h.Get("X-Nomad-Knownleader"))
	ms, _ := strconv.ParseInt(h.Get("X-Nomad-Lastcontact"), 10, 64)
	m.LastContact = time.Duration(ms) * time.Millisecond
	m.NextToken = h.Get("X-Nomad-Nexttoken")
	return m
}

// Get reads path into out.
func (c *Client) Get(ctx context.Context, path string, q *Query, out any) (Meta, error) {
	return c.call(ctx, http.MethodGet, path, q, nil, out)
}

// Put writes in to path and reads the answer into out; both may be nil.
func (c *Client) Put(ctx context.Context, path string, q *Query, in, out any) (Meta, error) {
	return c.call(ctx, http.MethodPut, path, q, in, out)
}

// Delete deletes path and reads the answer into out, which may be nil.
func (c *Client) Delete(ctx context.Context, path string, q *Query, out any) (Meta, error) {
	return c.call(ctx, http.MethodDelete, path, q, nil, out)
}

// Stream opens path for reading; the caller closes it.
func (c *Client) Stream(ctx context.Context, path string, q *Query) (io.ReadCloser, error) {
	resp, err := c.Do(ctx, http.MethodGet, path, q, nil)
	if err != nil {
		return nil, err
	}
	return resp.Body, nil
}

func esc(id string) string { return url.PathEscape(id) }

func params(kv ...string) *Query {
	q := &Query{Params: map[string]string{}}
	for i := 0; i+1 < len(kv); i += 2 {
		if kv[i+1] != "" {
			q.Params[kv[i]] = kv[i+1]
		}
	}
	return q
}

// with returns a copy of q (or a new one) with more parameters.
func with(q *Query, kv ...string) *Query {
	out := params(kv...)
	if q != nil {
		extra := out.Params
		cp := *q
		out = &cp
		out.Params = extra
		for k, v := range q.Params {
			out.Params[k] = v
		}
	}
	return out
}

func boolText(b bool) string {
	if b {
		return "true"
	}
	return ""
}

// String names the address, never the token.
func (c *Client) String() string { return fmt.Sprintf("client of %s", c.cfg.Address) }
