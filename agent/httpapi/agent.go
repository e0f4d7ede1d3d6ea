package httpapi

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/steppe-project/steppe/agent/rpc/msg"
)

// Agent is what the process says of itself. Implemented by the composition root.
type Agent interface {
	// Self is the answer of /v1/agent/self: config, member, stats.
	Self() map[string]any
	// Members are the agents of the region, as gossip has them.
	Members() []*msg.Member
	Membership
	// Reload reads certificates anew.
	Reload() error
	// Schedulers are this server's id and how many workers it has, 0 without the role.
	Schedulers() (id string, count int)
	// Health is ok or a reason, by role ("server", "client").
	Health() map[string]Health
	// Monitor sends log lines of at least the level until ctx ends; a slow
	// reader loses lines, and is told.
	Monitor(ctx context.Context, level string, json bool) (<-chan []byte, error)
}

// Membership changes who belongs to the region.
type Membership interface {
	// Join contacts agents of the region, or with wan servers of other regions,
	// and returns how many answered.
	Join(ctx context.Context, addrs []string, wan bool) (int, error)
	// ForceLeave makes a failed member count as left.
	ForceLeave(name string) error
	// Leave leaves for good and then ends the agent.
	Leave(ctx context.Context) error
	// Servers are the RPC addresses of the known servers.
	Servers() []string
}

// Health of one role.
type Health struct {
	OK      bool   `json:"ok"`
	Message string `json:"message"`
}

// Member is an agent in the shape that clients of serf read.
type Member struct {
	Name   string
	Addr   string
	Port   int
	Tags   map[string]string
	Status string
	ProtocolMin, ProtocolMax, ProtocolCur,
	DelegateMin, DelegateMax, DelegateCur uint8
}

func (s *Server) agentRoutes() []Route {
	members := get("/v1/agent/members", "List the region's agents, and the servers of all other regions.", s.members)
	return append(here(
		get("/v1/agent/self", "Describe this agent.", func(*request) (any, error) { return s.cfg.Agent.Self(), nil }),
		get("/v1/agent/servers", "List the servers this agent knows.", func(*request) (any, error) { return orEmpty(s.cfg.Agent.Servers()), nil }).
			with(http.MethodPut, later("setting servers (gossip finds them) is")),
		get("/v1/agent/health", "Tell whether this agent works.", s.health),
		get("/v1/agent/host", "Describe this agent's machine.", s.host),
		stream("/v1/agent/monitor", "Follow this agent's log.", own(s.monitor)),
		put("/v1/agent/join", "Join other agents.", own(s.join)),
		put("/v1/agent/force-leave", "Make a failed member count as left.", own(s.forceLeave)),
		put("/v1/agent/reload", "Read this agent's certificates anew.", own(func(*request) (any, error) { return struct{}{}, s.cfg.Agent.Reload() })),
		put("/v1/agent/leave", "Leave the region for good and end this agent.", own(s.leave)),
		get("/v1/agent/schedulers", "List this server's schedulers.", s.schedulers),
		get("/v1/agent/schedulers/config", "Count this server's schedulers.", s.schedulersConfig).
			with(http.MethodPut, later("changing the number of schedulers at run time is")),
		stream("/v1/metrics", "Read this agent's metrics.", s.metrics),
	), members)
}

// MemberOf is a member in the shape of the API.
func MemberOf(m *msg.Member) Member {
	return Member{
		Name: m.Name, Addr: m.Addr, Port: m.Port, Tags: m.Tags, Status: m.Status,
		ProtocolMin: 1, ProtocolMax: 5, ProtocolCur: 2, DelegateMin: 2, DelegateMax: 5, DelegateCur: 4,
	}
}

// membersPatience bounds asking a server about other regions: an agent lists
// those of its own without any.
const membersPatience = 2 * time.Second

func (s *Server) members(q *request) (any, error) {
	reply := struct {
		ServerName, ServerRegion, ServerDC string
		Members                            []Member
	}{ServerRegion: s.cfg.Region, Members: []Member{}}
	var list []*msg.Member
	ctx, cancel := context.WithTimeout(q.r.Context(), membersPatience)
	defer cancel()
	out, err := msg.StatusMembers.Call(ctx, q.servers(), q.status())
	switch {
	case q.foreign() && err != nil:
		return nil, err
	case q.foreign():
		list, reply.ServerRegion = out.Members, q.query.Region
	default:
		list = s.cfg.Agent.Members()
		if err != nil {
			s.cfg.Logger.Debug("the servers of other regions are not known", "error", err)
			break
		}
		list = append(list, slices.DeleteFunc(out.Members, func(m *msg.Member) bool { return m.Region() == s.cfg.Region })...)
	}
	for _, m := range list {
		reply.Members = append(reply.Members, MemberOf(m))
	}
	return reply, nil
}

func (s *Server) health(q *request) (any, error) {
	all := s.cfg.Agent.Health()
	want := q.param("type")
	out, healthy := map[string]Health{}, true
	for role, h := range all {
		if want == "" || want == role {
			out[role] = h
			healthy = healthy && h.OK
		}
	}
	if want != "" && len(out) == 0 {
		return nil, bad("this agent has no role %q", want)
	}
	if !healthy {
		text, err := json.Marshal(out)
		if err != nil {
			return nil, err
		}
		return nil, &statusError{http.StatusInternalServerError, string(text)}
	}
	return out, nil
}

func (s *Server) join(q *request) (any, error) {
	addrs := q.r.URL.Query()["address"]
	if len(addrs) == 0 {
		return nil, bad("missing address to join")
	}
	wan, err := q.flag("wan")
	if err != nil {
		return nil, err
	}
	n, err := s.cfg.Agent.Join(q.r.Context(), addrs, wan)
	reply := map[string]any{"num_joined": n, "error": ""}
	if err != nil {
		reply["error"] = err.Error()
	}
	return reply, nil
}

func (s *Server) forceLeave(q *request) (any, error) {
	node := q.param("node")
	if node == "" {
		return nil, bad("missing node to force leave")
	}
	return nil, s.cfg.Agent.ForceLeave(node)
}

func (s *Server) leave(q *request) (any, error) {
	return struct{}{}, s.cfg.Agent.Leave(context.WithoutCancel(q.r.Context()))
}

// schedulerTypes are what every worker decides about.
var schedulerTypes = []string{"batch", "service", "sysbatch", "system"}

// schedulers lists the workers: all alike, and known by number only.
func (s *Server) schedulers(*request) (any, error) {
	type worker struct {
		ID     string   `json:"id"`
		Types  []string `json:"enabled_schedulers"`
		Status string   `json:"status"`
	}
	id, n := s.cfg.Agent.Schedulers()
	list := make([]worker, n)
	for i := range list {
		list[i] = worker{strconv.Itoa(i), schedulerTypes, "Started"}
	}
	return map[string]any{"server_id": id, "schedulers": list}, nil
}

func (s *Server) schedulersConfig(*request) (any, error) {
	id, n := s.cfg.Agent.Schedulers()
	return map[string]any{"server_id": id, "num_schedulers": n, "enabled_schedulers": schedulerTypes}, nil
}

func (s *Server) monitor(q *request) (any, error) {
	level := q.param("log_level")
	if level == "" {
		level = "info"
	}
	asJSON, err := q.flag("log_json")
	if err != nil {
		return nil, err
	}
	plain, err := q.flag("plain")
	if err != nil {
		return nil, err
	}
	lines, err := s.cfg.Agent.Monitor(q.r.Context(), level, asJSON)
	if err != nil {
		return nil, err
	}
	q.startStream(plain)
	for l := range lines {
		data := l
		if !plain {
			if data, err = json.Marshal(struct{ Data []byte }{l}); err != nil {
				return nil, errDone
			}
		}
		if q.flushed(data) != nil {
			break
		}
	}
	return nil, errDone
}
