// Package operator holds the verbs for those who run the cluster.
package operator

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/steppe-project/steppe/api"
	"github.com/steppe-project/steppe/command/base"
	"github.com/steppe-project/steppe/model"
)

// RaftList is "operator raft list-peers".
var RaftList = &base.Command{
	Name: "operator raft list-peers", Synopsis: "List the raft servers", Example: "steppe operator raft list-peers",
	New: func() base.Runner { return &raftList{} },
}

type raftList struct {
	base.DataOptions
	stale bool
}

func (r *raftList) Flags(fs *flag.FlagSet) {
	r.DataFlags(fs)
	fs.BoolVar(&r.stale, "stale", false, "Any server may answer, also without a leader.")
}

func (r *raftList) Run(ctx context.Context, o *base.IO, _ []string) error {
	servers, err := o.Client.Cluster().RaftConfiguration(ctx, &api.Query{Stale: r.stale})
	if err != nil {
		return err
	}
	if done, err := o.Data(r.DataOptions, servers); done {
		return err
	}
	var rows [][]string
	for _, s := range servers {
		state := "follower"
		if s.Leader {
			state = "leader"
		}
		rows = append(rows, []string{s.Node, s.ID, s.Address, state, base.YesNo(s.Voter), s.RaftProtocol})
	}
	o.Table([]string{"Node", "ID", "Address", "State", "Voter", "RaftProtocol"}, rows)
	return nil
}

// peerFlags name a raft server.
type peerFlags struct{ id, address string }

func (p *peerFlags) Flags(fs *flag.FlagSet) {
	fs.StringVar(&p.id, "peer-id", "", "The server's `id`.")
	fs.StringVar(&p.address, "peer-address", "", "The server's RPC `address`.")
}

// RaftRemove is "operator raft remove-peer".
var RaftRemove = &base.Command{
	Name: "operator raft remove-peer", Synopsis: "Remove a raft server that will not come back",
	Long:    "Give -peer-id or -peer-address, as list-peers prints them.",
	Example: "steppe operator raft remove-peer -peer-address 10.0.0.3:4647",
	New:     func() base.Runner { return &raftRemove{} },
}

type raftRemove struct{ peerFlags }

func (r *raftRemove) Run(ctx context.Context, o *base.IO, _ []string) error {
	if (r.id == "") == (r.address == "") {
		return model.Errorf(model.CodeInvalid, "give either -peer-id or -peer-address")
	}
	if err := o.Client.Cluster().RemovePeer(ctx, r.id, r.address); err != nil {
		return err
	}
	o.Say("Removed raft server %s%s", r.id, r.address)
	return nil
}

// RaftTransfer is "operator raft transfer-leadership".
var RaftTransfer = &base.Command{
	Name: "operator raft transfer-leadership", Synopsis: "Hand leadership to another server",
	Example: "steppe operator raft transfer-leadership -peer-address 10.0.0.2:4647",
	New:     func() base.Runner { return &raftTransfer{} },
}

type raftTransfer struct{ peerFlags }

func (r *raftTransfer) Run(ctx context.Context, o *base.IO, _ []string) error {
	if r.id != "" && r.address != "" {
		return model.Errorf(model.CodeInvalid, "give either -peer-id or -peer-address")
	}
	if err := o.Client.Cluster().TransferLeadership(ctx, r.id, r.address); err != nil {
		return err
	}
	o.Say("Leadership was handed over")
	return nil
}

// SnapshotSave is "operator snapshot save".
var SnapshotSave = &base.Command{
	Name: "operator snapshot save", Synopsis: "Save the cluster's state to a file", Args: "FILE", MinArgs: 1, MaxArgs: 1,
	Long:    "The archive carries a checksum. A file that exists is replaced only when the new one is complete.",
	Example: "steppe operator snapshot save backup.snap",
	New:     func() base.Runner { return &snapshotSave{} },
}

type snapshotSave struct{ stale bool }

func (s *snapshotSave) Flags(fs *flag.FlagSet) {
	fs.BoolVar(&s.stale, "stale", false, "Any server may answer, also without a leader.")
}

func (s *snapshotSave) Run(ctx context.Context, o *base.IO, args []string) error {
	r, err := o.Client.Cluster().SaveSnapshot(ctx, s.stale)
	if err != nil {
		return err
	}
	defer r.Close()
	tmp, err := os.CreateTemp(filepath.Dir(args[0]), ".steppe-snapshot-*")
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name()) // gone already when all went well
	n, err := io.Copy(tmp, r)
	if err == nil {
		err = tmp.Sync()
	}
	if closeErr := tmp.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return model.Errorf(model.CodeUnavailable, "the snapshot is incomplete, nothing was kept: %w", err)
	}
	if err := os.Rename(tmp.Name(), args[0]); err != nil {
		return err
	}
	o.Say("Wrote %s (%s)", args[0], base.Bytes(n))
	return nil
}

// SnapshotRestore is "operator snapshot restore".
var SnapshotRestore = &base.Command{
	Name: "operator snapshot restore", Synopsis: "Replace the cluster's state by a saved one", Args: "FILE", MinArgs: 1, MaxArgs: 1,
	Long:    "The archive is verified before anything is replaced. Tasks that run and are not part of the restored state are stopped by their nodes.",
	Example: "steppe operator snapshot restore backup.snap",
	New:     func() base.Runner { return &snapshotRestore{} },
}

type snapshotRestore struct{}

func (*snapshotRestore) Flags(*flag.FlagSet) {}

func (*snapshotRestore) Run(ctx context.Context, o *base.IO, args []string) error {
	f, err := os.Open(args[0])
	if err != nil {
		return err
	}
	defer f.Close()
	if err := o.Client.Cluster().RestoreSnapshot(ctx, f); err != nil {
		return err
	}
	o.Say("Restored the state of %s", args[0])
	return nil
}

// SchedulerGet is "operator scheduler get-config".
var SchedulerGet = &base.Command{
	Name: "operator scheduler get-config", Synopsis: "Show the scheduler configuration", Example: "steppe operator scheduler get-config",
	New: func() base.Runner { return &schedulerGet{} },
}

type schedulerGet struct{ base.DataOptions }

func (s *schedulerGet) Flags(fs *flag.FlagSet) { s.DataFlags(fs) }

func (s *schedulerGet) Run(ctx context.Context, o *base.IO, _ []string) error {
	c, _, err := o.Client.Cluster().SchedulerConfig(ctx)
	if err != nil {
		return err
	}
	if done, err := o.Data(s.DataOptions, c); done {
		return err
	}
	o.Fields(
		"Scheduler Algorithm", c.SchedulerAlgorithm, "Memory Oversubscription", base.YesNo(c.MemoryOversubscriptionEnabled),
		"Reject Job Registration", base.YesNo(c.RejectJobRegistration), "Pause Eval Broker", base.YesNo(c.PauseEvalBroker),
		"Modify Index", fmt.Sprint(c.ModifyIndex),
	)
	return nil
}

// SchedulerSet is "operator scheduler set-config".
var SchedulerSet = &base.Command{
	Name: "operator scheduler set-config", Synopsis: "Change the scheduler configuration",
	Long:    "Only what is given is changed.",
	Example: "steppe operator scheduler set-config -scheduler-algorithm spread",
	New:     func() base.Runner { return &schedulerSet{} },
}

type schedulerSet struct{ algorithm, oversubscription, reject, pause, checkIndex string }

func (s *schedulerSet) Flags(fs *flag.FlagSet) {
	fs.StringVar(&s.algorithm, "scheduler-algorithm", "", "`binpack or spread`.")
	fs.StringVar(&s.oversubscription, "memory-oversubscription", "", "`true or false`: whether memory_max counts.")
	fs.StringVar(&s.reject, "reject-job-registration", "", "`true or false`: whether new jobs are refused.")
	fs.StringVar(&s.pause, "pause-eval-broker", "", "`true or false`: whether scheduling stands still.")
	fs.StringVar(&s.checkIndex, "check-index", "", "Change only if the configuration's modify `index` is still this.")
}

func (s *schedulerSet) Run(ctx context.Context, o *base.IO, _ []string) error {
	c, _, err := o.Client.Cluster().SchedulerConfig(ctx)
	if err != nil {
		return err
	}
	index := c.ModifyIndex
	if s.checkIndex != "" {
		if index, err = strconv.ParseUint(s.checkIndex, 10, 64); err != nil {
			return model.Errorf(model.CodeInvalid, "-check-index %q is not a number", s.checkIndex)
		}
	}
	if s.algorithm != "" {
		c.SchedulerAlgorithm = s.algorithm
	}
	for text, into := range map[*string]*bool{&s.oversubscription: &c.MemoryOversubscriptionEnabled, &s.reject: &c.RejectJobRegistration, &s.pause: &c.PauseEvalBroker} {
		if *text == "" {
			continue
		}
		if *into, err = strconv.ParseBool(*text); err != nil {
			return model.Errorf(model.CodeInvalid, "%q is not true or false", *text)
		}
	}
	updated, err := o.Client.Cluster().SetSchedulerConfig(ctx, c, &index)
	if err != nil {
		return err
	}
	if !updated {
		return model.Errorf(model.CodeConflict, "somebody else has changed the configuration: nothing was done, look and try again")
	}
	o.Say("Scheduler configuration updated")
	return nil
}

// AutopilotGet is "operator autopilot get-config".
var AutopilotGet = &base.Command{
	Name: "operator autopilot get-config", Synopsis: "Show the autopilot configuration", Example: "steppe operator autopilot get-config",
	New: func() base.Runner { return &autopilotGet{} },
}

type autopilotGet struct{ base.DataOptions }

func (a *autopilotGet) Flags(fs *flag.FlagSet) { a.DataFlags(fs) }

// autopilotConfig is the API's form.
type autopilotConfig struct {
	CleanupDeadServers      bool
	LastContactThreshold    string
	MaxTrailingLogs         uint64
	MinQuorum               uint
	ServerStabilizationTime string
	ModifyIndex             uint64
}

const autopilotPath = "/v1/operator/autopilot/configuration"

func (a *autopilotGet) Run(ctx context.Context, o *base.IO, _ []string) error {
	var c autopilotConfig
	if _, err := o.Client.Get(ctx, autopilotPath, nil, &c); err != nil {
		return err
	}
	if done, err := o.Data(a.DataOptions, c); done {
		return err
	}
	o.Fields(
		"CleanupDeadServers", base.YesNo(c.CleanupDeadServers), "LastContactThreshold", c.LastContactThreshold,
		"MaxTrailingLogs", fmt.Sprint(c.MaxTrailingLogs), "MinQuorum", fmt.Sprint(c.MinQuorum),
		"ServerStabilizationTime", c.ServerStabilizationTime,
	)
	return nil
}

// AutopilotSet is "operator autopilot set-config".
var AutopilotSet = &base.Command{
	Name: "operator autopilot set-config", Synopsis: "Change the autopilot configuration", Long: "Only what is given is changed.",
	Example: "steppe operator autopilot set-config -cleanup-dead-servers false",
	New:     func() base.Runner { return &autopilotSet{} },
}

type autopilotSet struct {
	cleanup, contact, stabilization string
	trailing, quorum                int64
}

func (a *autopilotSet) Flags(fs *flag.FlagSet) {
	fs.StringVar(&a.cleanup, "cleanup-dead-servers", "", "`true or false`: whether dead servers leave the raft configuration.")
	fs.StringVar(&a.contact, "last-contact-threshold", "", "How long a healthy server may be without contact, a `duration`.")
	fs.StringVar(&a.stabilization, "server-stabilization-time", "", "How long a new server must be healthy before it votes, a `duration`.")
	fs.Int64Var(&a.trailing, "max-trailing-logs", -1, "How many log entries a healthy server may lag behind.")
	fs.Int64Var(&a.quorum, "min-quorum", -1, "How many servers are kept at least.")
}

func (a *autopilotSet) Run(ctx context.Context, o *base.IO, _ []string) error {
	var c autopilotConfig
	if _, err := o.Client.Get(ctx, autopilotPath, nil, &c); err != nil {
		return err
	}
	if a.cleanup != "" {
		v, err := strconv.ParseBool(a.cleanup)
		if err != nil {
			return model.Errorf(model.CodeInvalid, "-cleanup-dead-servers %q is not true or false", a.cleanup)
		}
		c.CleanupDeadServers = v
	}
	if a.contact != "" {
		c.LastContactThreshold = a.contact
	}
	if a.stabilization != "" {
		c.ServerStabilizationTime = a.stabilization
	}
	if a.trailing >= 0 {
		c.MaxTrailingLogs = uint64(a.trailing)
	}
	if a.quorum >= 0 {
		c.MinQuorum = uint(a.quorum)
	}
	q := &api.Query{Params: map[string]string{"cas": strconv.FormatUint(c.ModifyIndex, 10)}}
	var updated bool
	if _, err := o.Client.Put(ctx, autopilotPath, q, c, &updated); err != nil {
		return err
	}
	if !updated {
		return model.Errorf(model.CodeConflict, "somebody else has changed the configuration: nothing was done, look and try again")
	}
	o.Say("Autopilot configuration updated")
	return nil
}

// AutopilotHealth is "operator autopilot health".
var AutopilotHealth = &base.Command{
	Name: "operator autopilot health", Synopsis: "Show the health of the servers", Example: "steppe operator autopilot health",
	New: func() base.Runner { return &autopilotHealth{} },
}

type autopilotHealth struct{ base.DataOptions }

func (a *autopilotHealth) Flags(fs *flag.FlagSet) { a.DataFlags(fs) }

func (a *autopilotHealth) Run(ctx context.Context, o *base.IO, _ []string) error {
	var h struct {
		Healthy          bool
		FailureTolerance int
		Servers          []struct {
			ID, Name, Address, SerfStatus, Version, LastContact string
			Leader, Healthy, Voter                              bool
			LastIndex                                           uint64
		}
	}
	if _, err := o.Client.Get(ctx, "/v1/operator/autopilot/health", nil, &h); err != nil {
		return err
	}
	if done, err := o.Data(a.DataOptions, h); done {
		return err
	}
	o.Fields("Healthy", base.YesNo(h.Healthy), "FailureTolerance", fmt.Sprint(h.FailureTolerance))
	var rows [][]string
	for _, s := range h.Servers {
		rows = append(rows, []string{
			s.Name, s.Address, s.SerfStatus, s.Version, base.YesNo(s.Leader), s.LastContact, fmt.Sprint(s.LastIndex),
			base.YesNo(s.Healthy), base.YesNo(s.Voter),
		})
	}
	o.Table([]string{"Name", "Address", "Status", "Version", "Leader", "LastContact", "LastIndex", "Healthy", "Voter"}, rows)
	return nil
}

// API is "operator api".
var API = &base.Command{
	Name: "operator api", Synopsis: "Send a request to the HTTP API and print the answer", Args: "PATH", MinArgs: 1, MaxArgs: 1,
	Long:    "PATH is like /v1/jobs. The method is GET, or PUT when there is a body; - as body is standard input.",
	Example: "steppe operator api -X PUT /v1/system/gc\nsteppe operator api '/v1/jobs?prefix=web'",
	New:     func() base.Runner { return &apiCmd{} },
}

type apiCmd struct {
	method, body, filter string
	verbose              bool
}

func (a *apiCmd) Flags(fs *flag.FlagSet) {
	fs.StringVar(&a.method, "X", "", "The `method`.")
	fs.StringVar(&a.body, "d", "", "The `body`; - is standard input, @file a file.")
	fs.StringVar(&a.filter, "filter", "", "A filter `expression`.")
	fs.BoolVar(&a.verbose, "verbose", false, "Print the answer's headers to standard error.")
}

func (a *apiCmd) Run(ctx context.Context, o *base.IO, args []string) error {
	path := args[0]
	if !strings.HasPrefix(path, "/") {
		path = "/v1/" + strings.TrimPrefix(path, "v1/")
	}
	var body io.Reader
	switch {
	case a.body == "-":
		body = o.In
	case strings.HasPrefix(a.body, "@"):
		f, err := os.Open(a.body[1:])
		if err != nil {
			return err
		}
		defer f.Close()
		body = f
	case a.body != "":
		body = strings.NewReader(a.body)
	}
	method := strings.ToUpper(a.method)
	if method == "" {
		method = "GET"
		if body != nil {
			method = "PUT"
		}
	}
	resp, err := o.Client.Do(ctx, method, path, &api.Query{Filter: a.filter}, body)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if a.verbose {
		o.Say("%s", resp.Status)
		if err := resp.Header.Write(o.Err); err != nil {
			return err
		}
	}
	if _, err := io.Copy(o.Out, resp.Body); err != nil {
		return err
	}
	o.Print("")
	return nil
}

// KeyGenerate is "operator gossip keyring generate".
var KeyGenerate = &base.Command{
	Name: "operator gossip keyring generate", Synopsis: "Make a key for the configuration's encrypt", Offline: true,
	Example: "steppe operator gossip keyring generate",
	New:     func() base.Runner { return &keyGenerate{} },
}

type keyGenerate struct{}

func (*keyGenerate) Flags(*flag.FlagSet) {}

func (*keyGenerate) Run(_ context.Context, o *base.IO, _ []string) error {
	key := make([]byte, 32)
	if _, err := rand.Read(key); err != nil {
		return err
	}
	o.Print("%s", base64.StdEncoding.EncodeToString(key))
	return nil
}
