// Package whatif answers questions that begin with "what if": it lets what is asked
// about happen in a fork of the state, has production's components, scheduler and
// verifier act on it by a clock of their own, and tells in what the end differs.
//
//	question ──► admission ──┐                          nodes, as they should react
//	                         ▼                          (start, stop) │
//	   liveness, nodeevals, drain, broker ──► scheduler ──► verify ──► fsm of a fork
//	          ▲                                                        │
//	          └──────────── changes; else the clock moves ◄────────────┘
//
// Contract and invariants:
//
//   - Nothing is written but the fork.
//   - What is decided is decided by the code that would do it: there is no second
//     implementation of liveness, its brake, drains, rescheduling or placement.
//   - Only the nodes are made up: those that are not lost start what they are given
//     after StartTime and end what they should after StopTime; nothing fails, and
//     batch tasks go on. Jobs that launch others do not.
//   - The work is bounded (maxDecisions, Horizon); what was not looked at is said. So is
//     that so many nodes are lost that they are given up at once here, where the brake
//     would give up one after the other.
//
// Example:
//
//	desk := whatif.New(whatif.Config{Source: source, Proposer: host, Now: host.Now, Admit: admitIn, Region: "global"})
//	desk.Register(srv)
package whatif

import (
	"context"
	"time"

	"github.com/steppe-project/steppe/agent/rpc"
	"github.com/steppe-project/steppe/agent/rpc/msg"
	"github.com/steppe-project/steppe/agent/server/forecast"
	"github.com/steppe-project/steppe/agent/server/liveness"
	"github.com/steppe-project/steppe/model"
	"github.com/steppe-project/steppe/model/insight"
)

const (
	// StartTime is from the placement of an instance until its node says that it runs.
	StartTime = time.Second
	// StopTime is from the wish that an instance ends until its node says that it has.
	StopTime = time.Second
	// defaultHorizon and maxHorizon bound how far is looked ahead.
	defaultHorizon = 24 * time.Hour
	maxHorizon     = 30 * 24 * time.Hour
	// maxDecisions and minDecisions bound the evaluations that are decided, workRows the
	// nodes that are looked at for them: some seconds. maxSteps bounds the looks at the
	// components.
	maxDecisions = 20_000
	minDecisions = 1000
	workRows     = 40_000_000
	maxSteps     = 200_000
	// maxOneByOne bounds the evaluations for which the brake is followed node by node.
	maxOneByOne = 1000
	// maxParts bounds the parts of a question, maxAdded the nodes that are added.
	maxParts = 1000
	maxAdded = 20_000
)

// Config is what a Desk needs. Contact, and LeaseTTL, may be left out.
type Config struct {
	Source   *forecast.Source
	Proposer forecast.Proposer
	Now      func() time.Time
	// Admit are production's handlers of writes, on a world.
	Admit func(w *forecast.World) rpc.Caller
	// Region is this cluster's, LeaseTTL what leases last (0: the default).
	Region   string
	LeaseTTL time.Duration
	// Contact tells whether a leader is known, and when this server, if it does not
	// lead, heard from it. nil: it leads.
	Contact func() (known bool, ago time.Duration)
}

// Desk holds the handler.
type Desk struct{ cfg Config }

// New makes the handler.
func New(cfg Config) *Desk { return &Desk{cfg} }

// Register adds the handler to srv.
func (d *Desk) Register(srv *rpc.Server) { rpc.Handle(srv, msg.WhatIf, d.whatIf) }

func (d *Desk) whatIf(ctx context.Context, r *msg.WhatIfRequest) (*msg.WhatIfResponse, error) {
	if !r.Stale {
		if _, err := d.cfg.Proposer.ReadIndex(ctx); err != nil {
			return nil, err
		}
	}
	w, err := d.cfg.Source.World(ctx, d.cfg.Now())
	if err != nil {
		return nil, err
	}
	defer w.Close()
	answer, err := Ask(ctx, w, Params{Admit: d.cfg.Admit(w), Namespace: r.RequestNamespace(), Region: d.cfg.Region, LeaseTTL: d.cfg.LeaseTTL}, r.Question)
	if err != nil {
		return nil, err
	}
	resp := &msg.WhatIfResponse{QueryMeta: msg.QueryMeta{Index: max(1, answer.Index), KnownLeader: true}, Answer: answer}
	if d.cfg.Contact != nil {
		resp.KnownLeader, resp.LastContact = d.cfg.Contact()
	}
	return resp, nil
}

// check refuses a question that asks nothing, or too much.
func check(q *insight.Question) error {
	if q == nil {
		return model.Errorf(model.CodeInvalid, "missing question")
	}
	parts := len(q.Add) + len(q.Jobs) + len(q.Scale) + len(q.Stop) + len(q.Drain) + len(q.Lose)
	switch {
	case parts == 0:
		return model.Errorf(model.CodeInvalid, "nothing is to happen: name nodes to lose, drain or add, or jobs to run, scale or stop")
	case parts > maxParts:
		return model.Errorf(model.CodeInvalid, "the question has %d parts; at most %d", parts, maxParts)
	case q.Horizon < 0 || q.Horizon > maxHorizon:
		return model.Errorf(model.CodeInvalid, "the horizon is %s; it must be 0 (a day) to %s", q.Horizon, maxHorizon)
	}
	added := 0
	for _, a := range q.Add {
		if a == nil || a.Count < 1 {
			return model.Errorf(model.CodeInvalid, "an addition needs a count of nodes, 1 or more")
		}
		added += a.Count
	}
	if added > maxAdded {
		return model.Errorf(model.CodeInvalid, "%d nodes are to be added; at most %d", added, maxAdded)
	}
	return nil
}

// Params are what a question is answered with.
type Params struct {
	// Admit takes the writes of the question: production's handlers, on the world.
	Admit rpc.Caller
	// Namespace is of jobs that name none.
	Namespace string
	Region    string
	LeaseTTL  time.Duration // 0: production's default
}

// Ask has what is asked about happen in a world, and tells what follows from it.
func Ask(ctx context.Context, w *forecast.World, p Params, q *insight.Question) (*insight.Answer, error) {
	if err := check(q); err != nil {
		return nil, err
	}
	if p.LeaseTTL == 0 {
		p.LeaseTTL = liveness.DefaultTTL
	}
	before, err := w.Basis(ctx)
	if err != nil {
		return nil, err
	}
	s := &stage{
		Params: p, w: w, question: q, began: w.Now(), before: before, dead: make(map[string]bool),
		answer: &insight.Answer{Index: before.Index(), Before: fullness(before.Fleet())},
	}
	if err := s.begin(ctx); err != nil {
		return nil, err
	}
	s.open()
	defer s.close()
	if err := s.run(ctx); err != nil {
		return nil, err
	}
	return s.answer, s.conclude(ctx)
}
