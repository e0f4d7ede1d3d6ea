package api

import (
	"context"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/steppe-project/steppe/model"
)

// Allocations are the calls on allocations.
type Allocations struct{ c *Client }

// Allocations returns the calls on allocations.
func (c *Client) Allocations() Allocations { return Allocations{c} }

// List lists allocations.
func (a Allocations) List(ctx context.Context, q *Query) ([]*model.AllocListStub, Meta, error) {
	var out []*model.AllocListStub
	m, err := a.c.Get(ctx, "/v1/allocations", q, &out)
	return out, m, err
}

// Get reads an allocation with its job.
func (a Allocations) Get(ctx context.Context, id string, q *Query) (*model.Allocation, Meta, error) {
	var out model.Allocation
	m, err := a.c.Get(ctx, "/v1/allocation/"+esc(id), q, &out)
	return &out, m, err
}

// Stop stops an allocation; another is placed. It returns the evaluation's id.
func (a Allocations) Stop(ctx context.Context, id string, noShutdownDelay bool) (string, error) {
	var out struct{ EvalID string }
	_, err := a.c.Put(ctx, "/v1/allocation/"+esc(id)+"/stop", params("no_shutdown_delay", boolText(noShutdownDelay)), nil, &out)
	return out.EvalID, err
}

// Restart restarts a task ("" = those that run) or all tasks in place.
func (a Allocations) Restart(ctx context.Context, id, task string, all bool) error {
	_, err := a.c.Put(ctx, "/v1/client/allocation/"+esc(id)+"/restart", nil, map[string]any{"TaskName": task, "AllTasks": all}, nil)
	return err
}

// Signal signals a task ("" = all).
func (a Allocations) Signal(ctx context.Context, id, task, signal string) error {
	_, err := a.c.Put(ctx, "/v1/client/allocation/"+esc(id)+"/signal", nil, map[string]string{"Task": task, "Signal": signal}, nil)
	return err
}

// Usage of a process or of all of an allocation, in bytes, percent and MHz.
type Usage struct {
	MemoryStats *struct {
		RSS, Cache, Swap, Usage, MaxUsage uint64
		Measured                          []string
	}
	CpuStats *struct {
		SystemMode, UserMode, TotalTicks, Percent float64
		ThrottledPeriods, ThrottledTime           uint64
	}
}

// AllocUsage is an allocation's usage by task.
type AllocUsage struct {
	ResourceUsage *Usage
	Tasks         map[string]*struct {
		ResourceUsage *Usage
		Pids          map[string]*Usage
	}
}

// Stats reads an allocation's resource usage.
func (a Allocations) Stats(ctx context.Context, id string) (*AllocUsage, error) {
	var out AllocUsage
	_, err := a.c.Get(ctx, "/v1/client/allocation/"+esc(id)+"/stats", nil, &out)
	return &out, err
}

// FileInfo describes a file of an allocation.
type FileInfo struct {
	Name        string
	IsDir       bool
	Size        int64
	FileMode    string
	ModTime     time.Time
	ContentType string
}

// ListFiles lists a directory of an allocation.
func (a Allocations) ListFiles(ctx context.Context, id, path string) ([]FileInfo, error) {
	var out []FileInfo
	_, err := a.c.Get(ctx, "/v1/client/fs/ls/"+esc(id), params("path", path), &out)
	return out, err
}

// StatFile describes a file of an allocation.
func (a Allocations) StatFile(ctx context.Context, id, path string) (FileInfo, error) {
	var out FileInfo
	_, err := a.c.Get(ctx, "/v1/client/fs/stat/"+esc(id), params("path", path), &out)
	return out, err
}

// ReadFile opens a file of an allocation; the caller closes it.
func (a Allocations) ReadFile(ctx context.Context, id, path string) (io.ReadCloser, error) {
	return a.c.Stream(ctx, "/v1/client/fs/cat/"+esc(id), params("path", path))
}

// ReadFileAt opens a part of a file of an allocation, of at most limit bytes; the
// caller closes it.
func (a Allocations) ReadFileAt(ctx context.Context, id, path string, offset, limit int64) (io.ReadCloser, error) {
	return a.c.Stream(ctx, "/v1/client/fs/readat/"+esc(id), params(
		"path", path, "offset", strconv.FormatInt(offset, 10), "limit", strconv.FormatInt(limit, 10)))
}

// FollowFile streams a file of an allocation as it grows; the caller closes it.
func (a Allocations) FollowFile(ctx context.Context, id, path, origin string, offset int64) (io.ReadCloser, error) {
	return a.c.Stream(ctx, "/v1/client/fs/stream/"+esc(id), params("path", path, "origin", origin, "offset", strconv.FormatInt(offset, 10), "plain", "true"))
}

// Logs says what of a task's log to read.
type Logs struct {
	Task   string
	Stderr bool
	Follow bool
	// FromEnd counts Offset backwards from the end.
	FromEnd bool
	Offset  int64
}

// Logs streams a task's log as raw text; the caller closes it.
func (a Allocations) Logs(ctx context.Context, id string, l Logs) (io.ReadCloser, error) {
	kind, origin := "stdout", "start"
	if l.Stderr {
		kind = "stderr"
	}
	if l.FromEnd {
		origin = "end"
	}
	return a.c.Stream(ctx, "/v1/client/fs/logs/"+esc(id), params(
		"task", l.Task, "type", kind, "follow", boolText(l.Follow), "origin", origin,
		"offset", strconv.FormatInt(l.Offset, 10), "plain", "true"))
}

// Nodes are the calls on nodes.
type Nodes struct{ c *Client }

// Nodes returns the calls on nodes.
func (c *Client) Nodes() Nodes { return Nodes{c} }

// List lists nodes.
func (n Nodes) List(ctx context.Context, q *Query) ([]*model.NodeListStub, Meta, error) {
	var out []*model.NodeListStub
	m, err := n.c.Get(ctx, "/v1/nodes", q, &out)
	return out, m, err
}

// Get reads a node.
func (n Nodes) Get(ctx context.Context, id string, q *Query) (*model.Node, Meta, error) {
	var out model.Node
	m, err := n.c.Get(ctx, "/v1/node/"+esc(id), q, &out)
	return &out, m, err
}

// Allocations lists a node's allocations, whole.
func (n Nodes) Allocations(ctx context.Context, id string, q *Query) ([]*model.Allocation, Meta, error) {
	var out []*model.Allocation
	m, err := n.c.Get(ctx, "/v1/node/"+esc(id)+"/allocations", q, &out)
	return out, m, err
}

// SetEligibility opens or closes a node for new work.
func (n Nodes) SetEligibility(ctx context.Context, id string, eligible bool) error {
	e := model.NodeIneligible
	if eligible {
		e = model.NodeEligible
	}
	_, err := n.c.Put(ctx, "/v1/node/"+esc(id)+"/eligibility", nil, map[string]string{"NodeID": id, "Eligibility": e}, nil)
	return err
}

// Drain empties a node; spec nil calls a drain off, and markEligible then opens the
// node for new work. meta is kept with the drain.
func (n Nodes) Drain(ctx context.Context, id string, spec *model.DrainSpec, markEligible bool, meta map[string]string) error {
	in := map[string]any{"NodeID": id, "DrainSpec": spec, "MarkEligible": markEligible, "Meta": meta}
	_, err := n.c.Put(ctx, "/v1/node/"+esc(id)+"/drain", nil, in, nil)
	return err
}

// NodeUsage is what is in use of a machine: bytes, and percent of each core.
type NodeUsage struct {
	Memory struct{ Total, Used uint64 }
	CPU    []struct {
		CPU          string
		TotalPercent float64
	}
}

// Stats reads what is in use of a node's machine.
func (n Nodes) Stats(ctx context.Context, id string) (*NodeUsage, error) {
	var out NodeUsage
	_, err := n.c.Get(ctx, "/v1/client/stats", params("node_id", id), &out)
	return &out, err
}

// Purge forgets a node.
func (n Nodes) Purge(ctx context.Context, id string) error {
	_, err := n.c.Put(ctx, "/v1/node/"+esc(id)+"/purge", nil, nil, nil)
	return err
}

// Evaluations are the calls on evaluations.
type Evaluations struct{ c *Client }

// Evaluations returns the calls on evaluations.
func (c *Client) Evaluations() Evaluations { return Evaluations{c} }

// List lists evaluations.
func (e Evaluations) List(ctx context.Context, q *Query) ([]*model.Evaluation, Meta, error) {
	var out []*model.Evaluation
	m, err := e.c.Get(ctx, "/v1/evaluations", q, &out)
	return out, m, err
}

// Get reads an evaluation; with related ones on ?related=true in q.Params.
func (e Evaluations) Get(ctx context.Context, id string, q *Query) (*model.Evaluation, Meta, error) {
	var out model.Evaluation
	m, err := e.c.Get(ctx, "/v1/evaluation/"+esc(id), q, &out)
	return &out, m, err
}

// Allocations lists what an evaluation placed.
func (e Evaluations) Allocations(ctx context.Context, id string, q *Query) ([]*model.AllocListStub, Meta, error) {
	var out []*model.AllocListStub
	m, err := e.c.Get(ctx, "/v1/evaluation/"+esc(id)+"/allocations", q, &out)
	return out, m, err
}

// Cluster are the calls on the region and its agents.
type Cluster struct{ c *Client }

// Cluster returns the calls on the region and its agents.
func (c *Client) Cluster() Cluster { return Cluster{c} }

// Member is one agent.
type Member struct {
	Name   string
	Addr   string
	Port   int
	Tags   map[string]string
	Status string
}

// Members lists the region's agents, and the servers of all other regions.
func (c Cluster) Members(ctx context.Context) ([]Member, error) {
	var out struct{ Members []Member }
	_, err := c.c.Get(ctx, "/v1/agent/members", nil, &out)
	return out.Members, err
}

// Regions lists the federated regions.
func (c Cluster) Regions(ctx context.Context) ([]string, error) {
	var out []string
	_, err := c.c.Get(ctx, "/v1/regions", nil, &out)
	return out, err
}

// Leader is the leader's RPC address.
func (c Cluster) Leader(ctx context.Context) (string, error) {
	var out string
	_, err := c.c.Get(ctx, "/v1/status/leader", nil, &out)
	return out, err
}

// Self describes the agent: config, member, stats.
func (c Cluster) Self(ctx context.Context) (map[string]any, error) {
	var out map[string]any
	_, err := c.c.Get(ctx, "/v1/agent/self", nil, &out)
	return out, err
}

// Join has the agent join others of its region; it returns how many answered.
func (c Cluster) Join(ctx context.Context, addrs ...string) (int, error) {
	return c.join(ctx, url.Values{"address": addrs})
}

// JoinWAN has the agent, a server, federate its region with those of other servers;
// it returns how many answered.
func (c Cluster) JoinWAN(ctx context.Context, addrs ...string) (int, error) {
	return c.join(ctx, url.Values{"address": addrs, "wan": {"true"}})
}

func (c Cluster) join(ctx context.Context, v url.Values) (int, error) {
	path := "/v1/agent/join?" + v.Encode()
	var out struct {
		NumJoined int    `json:"num_joined"`
		Error     string `json:"error"`
	}
	if _, err := c.c.Put(ctx, path, nil, nil, &out); err != nil {
		return 0, err
	}
	if out.Error != "" {
		return out.NumJoined, model.Errorf(model.CodeUnavailable, "%s", out.Error)
	}
	return out.NumJoined, nil
}

// ForceLeave makes a failed member count as left.
func (c Cluster) ForceLeave(ctx context.Context, name string) error {
	_, err := c.c.Put(ctx, "/v1/agent/force-leave", params("node", name), nil, nil)
	return err
}

// Leave makes the agent leave for good and end.
func (c Cluster) Leave(ctx context.Context) error {
	_, err := c.c.Put(ctx, "/v1/agent/leave", nil, nil, nil)
	return err
}

// RaftServer is one server of the raft configuration.
type RaftServer struct {
	ID, Node, Address string
	Leader, Voter     bool
	RaftProtocol      string
}

// RaftConfiguration lists the raft servers.
func (c Cluster) RaftConfiguration(ctx context.Context, q *Query) ([]RaftServer, error) {
	var out struct{ Servers []RaftServer }
	_, err := c.c.Get(ctx, "/v1/operator/raft/configuration", q, &out)
	return out.Servers, err
}

// RemovePeer removes a raft server by id or address.
func (c Cluster) RemovePeer(ctx context.Context, id, address string) error {
	_, err := c.c.Delete(ctx, "/v1/operator/raft/peer", params("id", id, "address", address), nil)
	return err
}

// TransferLeadership hands leadership to a server by id or address ("" = any).
func (c Cluster) TransferLeadership(ctx context.Context, id, address string) error {
	_, err := c.c.Put(ctx, "/v1/operator/raft/transfer-leadership", params("id", id, "address", address), nil, nil)
	return err
}

// SchedulerConfig reads the scheduler configuration.
func (c Cluster) SchedulerConfig(ctx context.Context) (*model.SchedulerConfiguration, Meta, error) {
	var out struct{ SchedulerConfig *model.SchedulerConfiguration }
	m, err := c.c.Get(ctx, "/v1/operator/scheduler/configuration", nil, &out)
	return out.SchedulerConfig, m, err
}

// SetSchedulerConfig sets it, if cas is nil or still its ModifyIndex.
func (c Cluster) SetSchedulerConfig(ctx context.Context, conf *model.SchedulerConfiguration, cas *uint64) (bool, error) {
	var q *Query
	if cas != nil {
		q = params("cas", strconv.FormatUint(*cas, 10))
	}
	var out struct{ Updated bool }
	_, err := c.c.Put(ctx, "/v1/operator/scheduler/configuration", q, conf, &out)
	return out.Updated, err
}

// Brake is the brake on replacing what nodes ran that vanished together; see its
// settings in model.MassLossConfig. Times are 0 for never.
type Brake struct {
	Engaged bool
	Alarm   string // in words; "" while it is off
	Since   int64  // unix s
	Held    []struct {
		ID, Name string
		Since    int64
	}
	Nodes      int // all that are not down
	Threshold  float64
	MinNodes   int
	Rate       int   // nodes given up a minute; below 0: none
	ReleasedAt int64 // unix ns
}

// Brake reads how the brake stands.
func (c Cluster) Brake(ctx context.Context) (*Brake, error) {
	var out Brake
	_, err := c.c.Get(ctx, "/v1/operator/brake", nil, &out)
	return &out, err
}

// ReleaseBrake has the nodes that the brake holds given up at once.
func (c Cluster) ReleaseBrake(ctx context.Context) error {
	_, err := c.c.Put(ctx, "/v1/operator/brake/release", nil, nil, nil)
	return err
}

// StateHash is the digest of one server's state at an index. Servers that have
// applied the same log have the same.
type StateHash struct {
	ServerID string
	Index    uint64
	Hash     string
}

// StateHash reads the digest of the state of the server that is asked. It reads
// all of the state: seconds for a million allocations.
func (c Cluster) StateHash(ctx context.Context) (*StateHash, error) {
	var out StateHash
	_, err := c.c.Get(ctx, "/v1/operator/state-hash", nil, &out)
	return &out, err
}

// SaveSnapshot streams the state's archive; the caller closes it.
func (c Cluster) SaveSnapshot(ctx context.Context, stale bool) (io.ReadCloser, error) {
	return c.c.Stream(ctx, "/v1/operator/snapshot", &Query{Stale: stale})
}

// RestoreSnapshot replaces the state by an archive's.
func (c Cluster) RestoreSnapshot(ctx context.Context, archive io.Reader) error {
	resp, err := c.c.Do(ctx, http.MethodPut, "/v1/operator/snapshot", nil, archive)
	if err != nil {
		return err
	}
	return resp.Body.Close()
}

// GC collects what is over at once.
func (c Cluster) GC(ctx context.Context) error {
	_, err := c.c.Put(ctx, "/v1/system/gc", nil, nil, nil)
	return err
}

// Search finds ids by prefix in a context ("all" = every one).
func (c Cluster) Search(ctx context.Context, prefix, context string) (map[string][]string, error) {
	var out struct{ Matches map[string][]string }
	_, err := c.c.Put(ctx, "/v1/search", nil, map[string]string{"Prefix": prefix, "Context": context}, &out)
	return out.Matches, err
}

// Monitor streams the agent's log; the caller closes it.
func (c Cluster) Monitor(ctx context.Context, level string, asJSON bool) (io.ReadCloser, error) {
	return c.c.Stream(ctx, "/v1/agent/monitor", params("log_level", level, "log_json", boolText(asJSON), "plain", "true"))
}

// Events streams changes as JSON lines, from index on (0 = all that is kept);
// topics are "Topic:key". The caller closes it.
func (c Cluster) Events(ctx context.Context, index uint64, topics ...string) (io.ReadCloser, error) {
	path := "/v1/event/stream?index=" + strconv.FormatUint(index, 10)
	for _, t := range topics {
		path += "&topic=" + esc(t)
	}
	return c.c.Stream(ctx, path, nil)
}
