package fsm

import (
	"errors"
	"io"

	"github.com/steppe-project/steppe/fsm/state"
	"github.com/steppe-project/steppe/fsm/state/message"
	"github.com/steppe-project/steppe/model"
	"github.com/steppe-project/steppe/model/feature"
	"github.com/tinylib/msgp/msgp"
)

// FSM applies log entries to a store. Apply and Restore must be called by one
// goroutine at a time, in the order of the log.
type FSM struct {
	store       *state.Store
	understands feature.Level
}

// New returns the state machine that writes store.
func New(store *state.Store) *FSM { return NewAt(store, feature.Newest) }

// NewAt returns the state machine of a binary that understands less than this one
// may: for tests of servers of different versions.
func NewAt(store *state.Store, understands feature.Level) *FSM {
	store.Understand(understands)
	return &FSM{store: store, understands: understands}
}

// Store returns the store that the state machine writes, for reading.
func (f *FSM) Store() *state.Store { return f.store }

// tx is the transaction of one entry with what the entry says.
type tx struct {
	*state.Txn
	index uint64
	time  int64 // unix ns
}

// command is a decoded body that can be applied. apply returns a pointer to
// the documented result type or nil; when it fails, what it wrote is undone.
type command interface {
	msgp.Unmarshaler
	apply(x *tx) (result, error)
}

// result is a command's answer: it is remembered for request ids and sent
// between servers, so it has a codec.
type result interface {
	msgp.Marshaler
	msgp.Unmarshaler
}

// kind is what there is to know about one kind of command.
type kind struct {
	command func() command
	result  func() result // nil: no value
}

func skipped() result          { return new(Skipped) }
func deploymentResult() result { return new(DeploymentResult) }

// kinds is the registry of commands.
var kinds = map[Kind]kind{
	KindRegisterNode:     {func() command { return new(RegisterNode) }, nil},
	KindNodeStatus:       {func() command { return new(NodeStatus) }, skipped},
	KindNodeEligibility:  {func() command { return new(NodeEligibility) }, nil},
	KindNodeDrain:        {func() command { return new(NodeDrain) }, nil},
	KindDeregisterNodes:  {func() command { return new(DeregisterNodes) }, skipped},
	KindNodeEvents:       {func() command { return new(NodeEvents) }, skipped},
	KindRegisterJob:      {func() command { return new(RegisterJob) }, func() result { return new(JobResult) }},
	KindDeregisterJob:    {func() command { return new(DeregisterJob) }, func() result { return new(JobResult) }},
	KindScaleJob:         {func() command { return new(ScaleJob) }, func() result { return new(JobResult) }},
	KindJobStability:     {func() command { return new(JobStability) }, nil},
	KindDispatchJob:      {func() command { return new(DispatchJob) }, func() result { return new(Launched) }},
	KindLaunchJob:        {func() command { return new(LaunchJob) }, func() result { return new(Launched) }},
	KindUpsertEvals:      {func() command { return new(UpsertEvals) }, skipped},
	KindDeleteEvals:      {func() command { return new(DeleteEvals) }, skipped},
	KindApplyPlan:        {func() command { return new(ApplyPlan) }, func() result { return new(model.PlanResult) }},
	KindUpdateAllocs:     {func() command { return new(UpdateAllocs) }, skipped},
	KindTransitionAllocs: {func() command { return new(TransitionAllocs) }, skipped},
	KindSchedulerConfig:  {func() command { return new(SchedulerConfig) }, func() result { return new(ConfigResult) }},
	KindAutopilotConfig:  {func() command { return new(AutopilotConfig) }, func() result { return new(ConfigResult) }},
	KindClusterMetadata:  {func() command { return new(ClusterMetadata) }, func() result { return new(model.ClusterMetadata) }},
	KindSigningKey:       {func() command { return new(SigningKey) }, nil},
	KindDeleteSigningKey: {func() command { return new(DeleteSigningKey) }, nil},
	KindFeatureLevel:     {func() command { return new(FeatureLevel) }, nil},
	KindUpsertNodePool:   {func() command { return new(UpsertNodePool) }, nil},
	KindDeleteNodePool:   {func() command { return new(DeleteNodePool) }, nil},
	KindUpsertNamespace:  {func() command { return new(UpsertNamespace) }, nil},
	KindDeleteNamespace:  {func() command { return new(DeleteNamespace) }, nil},
	KindUpsertQuota:      {func() command { return new(UpsertQuota) }, nil},
	KindDeleteQuota:      {func() command { return new(DeleteQuota) }, nil},
	KindCollect:          {func() command { return new(Collect) }, func() result { return new(Collected) }},

	KindRevertJob:         {func() command { return new(RevertJob) }, func() result { return new(JobResult) }},
	KindTagVersion:        {func() command { return new(TagVersion) }, nil},
	KindDeploymentStatus:  {func() command { return new(DeploymentStatus) }, deploymentResult},
	KindPromoteDeployment: {func() command { return new(PromoteDeployment) }, deploymentResult},
	KindAllocHealth:       {func() command { return new(AllocHealth) }, deploymentResult},
}

// Apply applies an entry: each command is one transaction, all or nothing, and
// all of them become visible together. The outcomes are in the commands' order.
// When this version does not know one of the commands, or the feature level that
// one activates, nothing is applied and every outcome is a FatalError.
func (f *FSM) Apply(e Entry) []Outcome {
	out := make([]Outcome, len(e.Commands))
	for i := range e.Commands {
		if err := f.beyond(e.Index, &e.Commands[i]); err != nil {
			for j := range out {
				out[j] = Outcome{Index: e.Index, Err: err}
			}
			return out
		}
	}
	x := &tx{Txn: f.store.Begin(e.Index), index: e.Index, time: e.Time}
	for i := range e.Commands {
		out[i] = x.run(&e.Commands[i])
	}
	x.Publish()
	return out
}

// run applies one command, or repeats the outcome of an earlier one with its
// request id.
func (x *tx) run(c *Command) Outcome {
	if c.RequestID != "" {
		if seen := x.Request(c.RequestID); seen != nil {
			return replay(seen, c.Kind)
		}
	}
	out := Outcome{Index: x.index}
	var res result
	out.Err = x.Do(func() error {
		cmd := kinds[c.Kind].command()
		err := decodeBody(cmd, c.Body)
		if err == nil {
			err = x.gate(c.Kind, cmd)
		}
		if err == nil {
			res, err = cmd.apply(x)
		}
		return err
	})
	if out.Err == nil && res != nil {
		out.Value = res
	}
	if c.RequestID != "" {
		x.remember(c, out)
	}
	return out
}

// decodeBody decodes a command after checking the body's structure, so that a
// damaged one cannot claim lengths that it does not have.
func decodeBody(cmd command, body []byte) error {
	if err := message.Check(body); err != nil {
		return model.Errorf(model.CodeInternal, "command cannot be decoded: %w", err)
	}
	rest, err := cmd.UnmarshalMsg(body)
	if err != nil {
		return model.Errorf(model.CodeInternal, "command cannot be decoded: %w", err)
	}
	if len(rest) > 0 {
		return model.Errorf(model.CodeInternal, "command cannot be decoded: %d bytes too many", len(rest))
	}
	return nil
}

// Snapshot returns the current state for writing: taking it costs nothing, and
// WriteTo streams it while later entries are applied.
func (f *FSM) Snapshot() io.WriterTo { return f.store.Snapshot() }

// Restore replaces the state by a snapshot that was written before. On failure
// the state is as it was; a FatalError tells that a newer version wrote it.
func (f *FSM) Restore(r io.Reader) error {
	err := f.store.Restore(r)
	if errors.Is(err, state.ErrSnapshotNewer) {
		return &FatalError{err.Error() + ": upgrade this server"}
	}
	return err
}
