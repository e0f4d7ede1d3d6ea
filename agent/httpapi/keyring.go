package httpapi

import (
	"encoding/base64"
	"net/http"
	"strings"

	"github.com/steppe-project/steppe/agent/rpc/msg"
	"github.com/steppe-project/steppe/model"
)

// keyringRoutes are on the cluster's keys, of the agents of all regions.
func (s *Server) keyringRoutes() []Route {
	remove := put("/v1/agent/keyring/remove", "Have all agents forget a cluster key that none sends with.", s.changeKeyring("remove", "removed from"))
	return []Route{
		get("/v1/agent/keyring/list", "List the cluster keys that agents have.", s.listKeyring),
		put("/v1/agent/keyring/install", "Have all agents understand a further cluster key.", s.changeKeyring("install", "installed on")),
		put("/v1/agent/keyring/use", "Have all agents send with a cluster key that they have.", s.changeKeyring("use", "used by")),
		remove.with(http.MethodDelete, remove.Methods[http.MethodPut]),
	}
}

// keyringReply is what agents have: Keys and PrimaryKeys count agents by key,
// Messages says by agent what is amiss.
type keyringReply struct {
	Messages    map[string]string
	Keys        map[string]int
	PrimaryKeys map[string]int
	NumNodes    int // that answered
}

func replyOf(members []*msg.KeyringMember) keyringReply {
	r := keyringReply{Messages: map[string]string{}, Keys: map[string]int{}, PrimaryKeys: map[string]int{}}
	for _, m := range members {
		if m.Err != "" {
			r.Messages[m.Name] = m.Err
			continue
		}
		r.NumNodes++
		for i, key := range m.Keys {
			text := base64.StdEncoding.EncodeToString(key)
			r.Keys[text]++
			if i == 0 {
				r.PrimaryKeys[text]++
			}
		}
		if len(m.Keys) == 0 {
			r.Messages[m.Name] = "it does not encrypt: it has no encrypt key"
		}
	}
	return r
}

func (s *Server) listKeyring(q *request) (any, error) {
	out, err := msg.Keyring.Call(q.r.Context(), q.servers(), &msg.KeyringRequest{WriteOptions: q.writeOptions()})
	if err != nil {
		return nil, err
	}
	return replyOf(out.Members), nil
}

// changeKeyring has all agents change their keys. done completes what is said of
// those that did when others failed.
func (s *Server) changeKeyring(op, done string) Handler {
	return func(q *request) (any, error) {
		var body struct{ Key string }
		if err := q.body(&body, false); err != nil {
			return nil, err
		}
		key, err := base64.StdEncoding.DecodeString(body.Key)
		if err != nil || len(key) == 0 {
			return nil, bad("Key is not a key in base64") // and is not shown
		}
		force, err := q.flag("force")
		if err != nil {
			return nil, err
		}
		out, err := msg.Keyring.Call(q.r.Context(), q.servers(), &msg.KeyringRequest{WriteOptions: q.writeOptions(), Op: op, Key: key, Force: force})
		if err != nil {
			return nil, err
		}
		if err := keyringFault(out.Members, done); err != nil {
			return nil, err
		}
		return replyOf(out.Members), nil
	}
}

// keyringFault names the living agents that did not do what was asked.
func keyringFault(members []*msg.KeyringMember, done string) error {
	var failed []string
	living := 0
	for _, m := range members {
		if m.Down {
			continue
		}
		living++
		if m.Err != "" {
			failed = append(failed, m.Name+": "+m.Err)
		}
	}
	if len(failed) == 0 {
		return nil
	}
	return model.Errorf(model.CodeInternal, "the key was %s %d of %d agents; those that failed:\n  * %s",
		done, living-len(failed), living, strings.Join(failed, "\n  * "))
}
