package httpapi

import (
	"context"
	"encoding/base64"
	"errors"
	"io"
	"net/http"
	"strings"

	"github.com/steppe-project/steppe/agent/rpc/msg"
	"github.com/steppe-project/steppe/model"
)

func (s *Server) statusRoutes() []Route {
	return []Route{
		get("/v1/status/leader", "Name the leader's RPC address.", s.leader),
		get("/v1/status/peers", "List the raft servers' RPC addresses.", s.peers),
		get("/v1/regions", "List the regions.", s.regions),
		put("/v1/search", "Find ids by prefix.", s.search),
		put("/v1/search/fuzzy", "Find names by part.", s.fuzzySearch),
		stream("/v1/event/stream", "Follow what changes.", s.events),
		get("/.well-known/jwks.json", "Read the cluster's public signing keys.", s.jwks),
		get("/.well-known/openid-configuration", "Not offered.", func(*request) (any, error) {
			return nil, model.Errorf(model.CodeNotFound, "OIDC Discovery endpoint disabled")
		}),
	}
}

func (s *Server) leader(q *request) (any, error) {
	out, err := msg.StatusLeader.Call(q.r.Context(), q.servers(), q.status())
	if err != nil {
		return nil, err
	}
	if out.Value == "" {
		return nil, model.Errorf(model.CodeUnavailable, "No cluster leader")
	}
	return out.Value, nil
}

func (s *Server) peers(q *request) (any, error) {
	out, err := msg.StatusPeers.Call(q.r.Context(), q.servers(), q.status())
	if err != nil {
		return nil, err
	}
	return orEmpty(out.Values), nil
}

func (s *Server) regions(q *request) (any, error) {
	out, err := msg.StatusRegions.Call(q.r.Context(), q.servers(), q.status())
	if err != nil {
		return nil, err
	}
	return orEmpty(out.Values), nil
}

func (s *Server) search(q *request) (any, error) {
	var body struct{ Prefix, Context string }
	if err := q.body(&body, false); err != nil {
		return nil, err
	}
	out, err := msg.Search.Call(q.r.Context(), q.servers(), &msg.SearchRequest{QueryOptions: q.query, Text: body.Prefix, Context: body.Context})
	if err != nil {
		return nil, err
	}
	q.meta(out.QueryMeta)
	matches := map[string][]string{}
	for c, ms := range out.Matches {
		ids := []string{}
		for _, m := range ms {
			ids = append(ids, m.ID)
		}
		matches[c] = ids
	}
	return map[string]any{"Matches": matches, "Truncations": out.Truncations, "Index": out.Index, "KnownLeader": out.KnownLeader, "LastContact": out.LastContact}, nil
}

func (s *Server) fuzzySearch(q *request) (any, error) {
	var body struct{ Text, Context string }
	if err := q.body(&body, false); err != nil {
		return nil, err
	}
	out, err := msg.Search.Call(q.r.Context(), q.servers(), &msg.SearchRequest{QueryOptions: q.query, Text: body.Text, Context: body.Context, Fuzzy: true})
	if err != nil {
		return nil, err
	}
	q.meta(out.QueryMeta)
	return map[string]any{"Matches": out.Matches, "Truncations": out.Truncations, "Index": out.Index, "KnownLeader": out.KnownLeader, "LastContact": out.LastContact}, nil
}

// topics reads ?topic=Topic:key (repeatable); none means all.
func (q *request) topics() (map[string][]string, error) {
	out := map[string][]string{}
	for _, t := range q.r.URL.Query()["topic"] {
		topic, key, ok := strings.Cut(t, ":")
		if topic == "" {
			return nil, bad("Invalid key value pair for topic: %q", t)
		}
		if !ok || key == "" {
			key = "*"
		}
		out[topic] = append(out[topic], key)
	}
	if len(out) == 0 {
		out["*"] = []string{"*"}
	}
	return out, nil
}

func (s *Server) events(q *request) (any, error) {
	topics, err := q.topics()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(q.r.Context())
	defer cancel()
	st, err := msg.EventStream.Open(ctx, q.servers())
	if err != nil {
		return nil, err
	}
	defer st.Close()
	req := &msg.EventStreamRequest{QueryOptions: q.query, Index: q.query.MinIndex, Topics: topics}
	if err := st.Send(req); err != nil {
		return nil, err
	}
	_ = st.CloseSend()
	first := true
	for {
		b, err := st.Recv()
		if err != nil {
			if first && !errors.Is(err, io.EOF) {
				return nil, err
			}
			return nil, errDone
		}
		if b.Err != "" && first {
			return nil, model.Errorf(model.CodeInvalid, "%s", b.Err)
		}
		if first {
			first = false
			q.w.Header().Set("Content-Type", "application/json")
			q.w.Header().Set("Cache-Control", "no-cache")
			q.w.WriteHeader(http.StatusOK)
		}
		line := b.JSON
		if len(line) == 0 {
			line = []byte("{}")
		}
		if q.flushed(append(append(make([]byte, 0, len(line)+1), line...), '\n')) != nil || b.Err != "" {
			return nil, errDone
		}
	}
}

// jwks is the public part of the signing keys, as RFC 8037 has ed25519 keys.
func (s *Server) jwks(q *request) (any, error) {
	out, err := msg.SigningKeys.Call(q.r.Context(), q.servers(), q.status())
	if err != nil {
		return nil, err
	}
	keys := []map[string]string{}
	for _, k := range out.Keys {
		keys = append(keys, map[string]string{
			"use": "sig", "kty": "OKP", "crv": "Ed25519", "alg": k.Algorithm, "kid": k.KeyID,
			"x": base64.RawURLEncoding.EncodeToString(k.Public),
		})
	}
	q.w.Header().Set("Cache-Control", "public, max-age=300")
	return map[string]any{"keys": keys}, nil
}
