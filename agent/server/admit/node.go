package admit

import (
	"context"
	"crypto/subtle"
	"unicode"

	"github.com/google/uuid"

	"github.com/steppe-project/steppe/agent/rpc/msg"
	"github.com/steppe-project/steppe/fsm"
	"github.com/steppe-project/steppe/fsm/state"
	"github.com/steppe-project/steppe/model"
	"github.com/steppe-project/steppe/model/feature"
	"github.com/steppe-project/steppe/sched/place/class"
)

// maxNodeText bounds a node's names and addresses.
const maxNodeText = 256

// maxPoolName bounds a node pool's name.
const maxPoolName = 128

// isUUID reports whether s is a UUID in its usual form.
func isUUID(s string) bool { return len(s) == uuidLength && uuid.Validate(s) == nil }

const uuidLength = 36

// nodeRegister takes in what a node says of itself, and makes it ready. A node
// that says nothing new costs no log entry. Nobody is evaluated here: that
// follows from the change.
func (d *Desk) nodeRegister(ctx context.Context, r *msg.NodeRegisterRequest) (*msg.NodeWriteResponse, error) {
	if err := checkNode(r.Node); err != nil {
		return nil, err
	}
	snap := d.cfg.Store.Snapshot()
	now := snap.Node(r.Node.ID)
	if now != nil && !sameSecret(now.SecretID, r.Node.SecretID) {
		return nil, deniedNode(r.Node.ID)
	}
	node := *r.Node
	if node.NodePool == "" {
		node.NodePool = model.DefaultNodePool
	}
	node.Status, node.StatusDescription = model.NodeStatusReady, ""
	if snap.FeatureLevel() < feature.Order {
		node.ReportsFrom = 0
	}
	node.ComputedClass = class.Computed(&node)
	if now != nil {
		same, err := sameNode(now, &node)
		if err != nil {
			return nil, err
		}
		if same {
			d.cfg.Seen(node.ID)
			// The node's server must not assign from a state that is older than this.
			return &msg.NodeWriteResponse{WriteMeta: msg.WriteMeta{Index: snap.Index()}, NodeModifyIndex: now.ModifyIndex}, nil
		}
	}
	d.cfg.Seen(node.ID) // it lives, however long the commit takes
	out, err := d.propose(ctx, "", &fsm.RegisterNode{Node: &node})
	if err != nil {
		return nil, err
	}
	d.cfg.Seen(node.ID)
	return &msg.NodeWriteResponse{WriteMeta: msg.WriteMeta{Index: out.Index}, NodeModifyIndex: out.Index}, nil
}

// checkNode refuses a node that nothing could be placed on or told apart.
func checkNode(n *model.Node) error {
	switch {
	case n == nil:
		return model.Errorf(model.CodeInvalid, "missing node for client registration")
	case !isUUID(n.ID):
		return model.Errorf(model.CodeInvalid, "invalid node id %q: not a UUID", n.ID)
	case !isUUID(n.SecretID):
		return model.Errorf(model.CodeInvalid, "node %s: missing or malformed secret id for client registration", n.ID)
	case n.Datacenter == "":
		return model.Errorf(model.CodeInvalid, "node %s: missing datacenter for client registration", n.ID)
	case n.Name == "":
		return model.Errorf(model.CodeInvalid, "node %s: missing node name for client registration", n.ID)
	case n.NodePool == model.AllNodePool:
		return model.Errorf(model.CodeInvalid, "node %s: the node pool %q holds every node and cannot be joined", n.ID, n.NodePool)
	case n.NodePool != "" && !model.PlainName(n.NodePool, maxPoolName, "_-"):
		return model.Errorf(model.CodeInvalid, "node %s: invalid node pool name %q", n.ID, n.NodePool)
	case n.NodeResources == nil:
		return model.Errorf(model.CodeInvalid, "node %s: says nothing of its resources", n.ID)
	}
	for _, text := range []string{n.Datacenter, n.Name, n.NodeClass, n.HTTPAddr} {
		if len(text) > maxNodeText {
			return model.Errorf(model.CodeInvalid, "node %s: a name of %d bytes is longer than %d", n.ID, len(text), maxNodeText)
		}
		for _, c := range text {
			if unicode.IsControl(c) {
				return model.Errorf(model.CodeInvalid, "node %s: control characters in %q", n.ID, text)
			}
		}
	}
	return nil
}

// sameSecret compares in a time that tells nothing about the secret.
func sameSecret(have, given string) bool {
	return subtle.ConstantTimeCompare([]byte(have), []byte(given)) == 1
}

func deniedNode(id string) error {
	return model.Errorf(model.CodeDenied,
		"node %s: the secret is not the one it first registered with; "+
			"if the machine was reinstalled, purge the node or let it take a new id", id)
}

// sameNode tells whether registering next would change nothing.
func sameNode(now, next *model.Node) (bool, error) {
	if now.Status != next.Status {
		return false, nil
	}
	a, err := nodeDigest(now)
	if err != nil {
		return false, err
	}
	b, err := nodeDigest(next)
	return a == b, err
}

// nodeDigest is a digest of what a node says of itself.
func nodeDigest(n *model.Node) ([32]byte, error) {
	own := *n
	own.Status, own.StatusDescription, own.StatusUpdatedAt = "", "", 0
	own.SchedulingEligibility, own.Drain, own.DrainStrategy, own.LastDrain = "", false, nil, nil
	own.Events, own.CreateIndex, own.ModifyIndex = nil, 0, 0
	b, err := own.MarshalMsg(nil)
	if err != nil {
		return [32]byte{}, model.Errorf(model.CodeInvalid, "node %s cannot be encoded: %w", n.ID, err)
	}
	return state.Digest(b), nil
}

// nodeUpdateAllocs takes a node's reports on its allocations.
func (d *Desk) nodeUpdateAllocs(ctx context.Context, r *msg.NodeUpdateAllocsRequest) (*msg.WriteMeta, error) {
	snap := d.cfg.Store.Snapshot()
	body, err := d.updateAllocs(snap, r)
	if err != nil {
		return nil, err
	}
	if len(body.Updates) == 0 {
		return &msg.WriteMeta{Index: snap.Index()}, nil
	}
	out, err := d.propose(ctx, "", body)
	if err != nil {
		return nil, err
	}
	return &msg.WriteMeta{Index: out.Index}, nil
}

// nodeReport takes the reports of many nodes, each for itself.
func (d *Desk) nodeReport(ctx context.Context, r *msg.NodeReportRequest) (*msg.NodeReportResponse, error) {
	snap := d.cfg.Store.Snapshot()
	resp := &msg.NodeReportResponse{WriteMeta: msg.WriteMeta{Index: snap.Index()}}
	refuse := func(place int, err error) {
		resp.Refused = append(resp.Refused, &msg.NodeReportRefused{Place: place, Code: string(model.CodeOf(err)), Message: err.Error()})
	}
	var cmds []fsm.Command
	var places []int
	for i, one := range r.Nodes {
		if one == nil {
			continue
		}
		body, err := d.updateAllocs(snap, one)
		if err == nil && len(body.Updates) == 0 {
			continue
		}
		var cmd fsm.Command
		if err == nil {
			cmd, err = fsm.NewCommand(body)
		}
		if err != nil {
			refuse(i, err)
			continue
		}
		cmds, places = append(cmds, cmd), append(places, i)
	}
	if len(cmds) == 0 {
		return resp, nil
	}
	outcomes, err := d.cfg.Proposer.Propose(ctx, cmds...)
	if err != nil {
		return nil, err
	}
	for i, o := range outcomes {
		resp.Index = max(resp.Index, o.Index)
		if o.Err != nil {
			refuse(places[i], o.Err)
		}
	}
	return resp, nil
}

// updateAllocs is the command for a node's reports, without updates when nothing is
// to be recorded. A failed allocation that is to be replaced brings an evaluation.
func (d *Desk) updateAllocs(snap *state.Snapshot, r *msg.NodeUpdateAllocsRequest) (*fsm.UpdateAllocs, error) {
	node := snap.Node(r.NodeID)
	if node == nil {
		return nil, model.Errorf(model.CodeNotFound, "node %s is not registered", r.NodeID)
	}
	if !sameSecret(node.SecretID, r.SecretID) {
		return nil, deniedNode(r.NodeID)
	}
	cmd := &fsm.UpdateAllocs{NodeID: r.NodeID, Updates: make([]*model.AllocUpdate, 0, len(r.Updates))}
	asked := map[[2]string]bool{}
	for _, up := range r.Updates {
		if up == nil {
			continue
		}
		a := snap.Alloc(up.ID)
		if a == nil || a.NodeID != r.NodeID || !a.NewReport(up, node) {
			continue // collected, never its own, or known: nothing to record
		}
		cmd.Updates = append(cmd.Updates, up)
		job := snap.Job(a.Namespace, a.JobID)
		if key := [2]string{a.Namespace, a.JobID}; !asked[key] && callsForReplacement(a, up, job) {
			asked[key] = true
			cmd.Evals = append(cmd.Evals, d.eval(job, model.TriggerRetryFailed, 0, ""))
		}
	}
	return cmd, nil
}

// callsForReplacement tells whether a report is news of a failure that the job's
// reschedule policy may answer; when and whether it does, the scheduler decides.
// What a node stopped because it had no lease is replaced whatever the policy.
func callsForReplacement(a *model.Allocation, up *model.AllocUpdate, job *model.Job) bool {
	if a.ClientTerminal() || a.ServerTerminal() || job == nil || job.Stop {
		return false
	}
	if up.ClientStatus != model.ClientFailed {
		return up.ClientStatus == model.ClientLost
	}
	for _, g := range job.TaskGroups {
		if g.Name == a.TaskGroup {
			p := g.ReschedulePolicy
			return p != nil && (p.Unlimited || p.Attempts > 0)
		}
	}
	return false
}

// node finds a node for an operator's write.
func (d *Desk) node(id string) (*state.Snapshot, *model.Node, error) {
	snap := d.cfg.Store.Snapshot()
	if !isUUID(id) {
		return nil, nil, model.Errorf(model.CodeInternal, "node lookup failed: index error: UUID must be 36 characters")
	}
	n := snap.Node(id)
	if n == nil {
		return nil, nil, model.Errorf(model.CodeNotFound, "node not found")
	}
	return snap, n, nil
}

// nodeEligibility opens or closes a node for new work.
func (d *Desk) nodeEligibility(ctx context.Context, r *msg.NodeEligibilityRequest) (*msg.NodeWriteResponse, error) {
	if _, _, err := d.node(r.NodeID); err != nil {
		return nil, err
	}
	if r.Eligibility != model.NodeEligible && r.Eligibility != model.NodeIneligible {
		return nil, model.Errorf(model.CodeInvalid, "invalid scheduling eligibility %q", r.Eligibility)
	}
	out, err := d.propose(ctx, r.RequestID, &fsm.NodeEligibility{NodeID: r.NodeID, Eligibility: r.Eligibility})
	if err != nil {
		return nil, err
	}
	return &msg.NodeWriteResponse{WriteMeta: msg.WriteMeta{Index: out.Index}, NodeModifyIndex: out.Index}, nil
}

// nodePurge forgets a node; what ran on it is replaced.
func (d *Desk) nodePurge(ctx context.Context, r *msg.NodeWriteRequest) (*msg.NodeWriteResponse, error) {
	snap, n, err := d.node(r.NodeID)
	if model.CodeOf(err) == model.CodeNotFound && wasDone(d.cfg.Store.Snapshot(), r.RequestID) {
		snap, n, err = d.cfg.Store.Snapshot(), &model.Node{ID: r.NodeID}, nil // the first time removed it
	}
	if err != nil {
		return nil, err
	}
	evals := d.evalsOfNode(snap, n, r.RequestID)
	out, err := d.propose(ctx, r.RequestID, &fsm.DeregisterNodes{NodeIDs: []string{n.ID}, Evals: evals})
	if err != nil {
		return nil, err
	}
	return nodeWritten(out, evals), nil
}

// nodeEvaluate has the jobs with allocations on a node looked at again.
func (d *Desk) nodeEvaluate(ctx context.Context, r *msg.NodeWriteRequest) (*msg.NodeWriteResponse, error) {
	snap, n, err := d.node(r.NodeID)
	if err != nil {
		return nil, err
	}
	evals := d.evalsOfNode(snap, n, r.RequestID)
	if len(evals) == 0 {
		return &msg.NodeWriteResponse{WriteMeta: msg.WriteMeta{Index: snap.Index()}, NodeModifyIndex: n.ModifyIndex}, nil
	}
	out, err := d.propose(ctx, r.RequestID, &fsm.UpsertEvals{Evals: evals})
	if err != nil {
		return nil, err
	}
	resp := nodeWritten(out, evals)
	resp.NodeModifyIndex = n.ModifyIndex
	return resp, nil
}

func nodeWritten(out fsm.Outcome, evals []*model.Evaluation) *msg.NodeWriteResponse {
	resp := &msg.NodeWriteResponse{
		WriteMeta: msg.WriteMeta{Index: out.Index}, EvalCreateIndex: out.Index, NodeModifyIndex: out.Index,
	}
	for _, e := range evals {
		resp.EvalIDs = append(resp.EvalIDs, e.ID)
	}
	return resp
}

// evalsOfNode are new evaluations of the jobs that have something on a node, and
// of the system jobs, which may.
func (d *Desk) evalsOfNode(snap *state.Snapshot, n *model.Node, requestID string) []*model.Evaluation {
	var evals []*model.Evaluation
	seen := map[[2]string]bool{}
	add := func(job *model.Job) {
		if key := [2]string{job.Namespace, job.ID}; !seen[key] {
			seen[key] = true
			e := d.eval(job, model.TriggerNodeUpdate, 0, requestID)
			e.NodeID, e.NodeModifyIndex = n.ID, n.ModifyIndex
			evals = append(evals, e)
		}
	}
	for a := range snap.AllocsByNode(n.ID) {
		if job := snap.Job(a.Namespace, a.JobID); job != nil {
			add(job)
		} else if a.Job != nil && !a.Terminal() {
			add(a.Job)
		}
	}
	for job := range snap.Jobs(state.Range{}) {
		if (job.Type == model.JobTypeSystem || job.Type == model.JobTypeSysbatch) && !job.Stop {
			add(job)
		}
	}
	return evals
}
