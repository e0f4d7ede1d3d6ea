package session

import (
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/steppe-project/steppe/agent/rpc/msg"
	"github.com/steppe-project/steppe/model"
)

const (
	// reporters is how many calls with reports run at a time: one waits for its
	// commit while the next is gathered.
	reporters = 2
	// reportNodes and reportUpdates bound one call: an entry or two of the log.
	reportNodes   = 512
	reportUpdates = 4096
	// oneByOne bounds the calls at a time to a leader that takes no gathered ones.
	oneByOne = 32
)

// telling is what one session has to report.
type telling struct {
	s   *session
	req *msg.NodeUpdateAllocsRequest
	seq uint64
}

// report takes in a node's statuses and has them told to the leader. What arrives
// while that goes on is merged and told next.
func (s *session) report(r *msg.NodeReport) error {
	s.mu.Lock()
	for _, up := range r.Updates {
		if up != nil {
			s.reports[up.ID] = up
		}
	}
	s.reportSeq = max(s.reportSeq, r.Seq)
	count, queue := len(s.reports), !s.reporting
	s.reporting = true
	s.mu.Unlock()
	if count > maxReports {
		return model.Errorf(model.CodeInvalid, "reports on more than %d allocations at once", maxReports)
	}
	if queue {
		s.hub.wantReport(s)
	}
	return nil
}

// takeReports is all that is to be reported.
func (s *session) takeReports() telling {
	s.mu.Lock()
	defer s.mu.Unlock()
	updates := slices.SortedFunc(maps.Values(s.reports), func(a, b *model.AllocUpdate) int { return strings.Compare(a.ID, b.ID) })
	t := telling{s, &msg.NodeUpdateAllocsRequest{NodeID: s.node.ID, SecretID: s.node.SecretID, Updates: updates}, s.reportSeq}
	clear(s.reports)
	s.reportSeq = 0
	return t
}

// reported acknowledges, and queues the session again when more came meanwhile.
func (s *session) reported(seq uint64) {
	s.ack(msg.NodeDown{Reported: &msg.NodeReported{Seq: seq}})
	s.mu.Lock()
	s.reporting = len(s.reports) > 0 || s.reportSeq != 0
	queue := s.reporting
	s.mu.Unlock()
	if queue {
		s.hub.wantReport(s)
	}
}

// wantReport has a session's reports told with the next call.
func (h *Hub) wantReport(s *session) {
	h.reportMu.Lock()
	h.reporting = append(h.reporting, s)
	h.reportMu.Unlock()
	h.reportsDue()
}

func (h *Hub) reportsDue() {
	select {
	case h.reportDue <- struct{}{}:
	default:
	}
}

// tellReports tells the leader what nodes report until ctx ends.
func (h *Hub) tellReports(ctx context.Context) error {
	for {
		select {
		case <-h.reportDue:
		case <-ctx.Done():
			return ctx.Err()
		}
		h.tell(ctx, h.gatherReports())
	}
}

// gatherReports takes sessions out of the queue, oldest first.
func (h *Hub) gatherReports() []telling {
	h.reportMu.Lock()
	defer h.reportMu.Unlock()
	var batch []telling
	updates := 0
	for len(h.reporting) > 0 && len(batch) < reportNodes && updates < reportUpdates {
		s := h.reporting[0]
		h.reporting[0] = nil
		h.reporting = h.reporting[1:]
		t := s.takeReports()
		updates += len(t.req.Updates)
		batch = append(batch, t)
	}
	if len(h.reporting) > 0 {
		h.reportsDue()
	}
	return batch
}

// tell reports to the leader and acknowledges, as long as there is hope.
func (h *Hub) tell(ctx context.Context, batch []telling) {
	for pause := retryMin; ; pause = min(2*pause, retryMax) {
		batch = settle(batch)
		if len(batch) == 0 || ctx.Err() != nil {
			return
		}
		err := h.tellOnce(ctx, batch)
		if err == nil {
			return
		}
		if !passing(err) {
			h.tellEach(ctx, batch)
			return
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return
		}
	}
}

// settle leaves out sessions that have ended, whose nodes report again elsewhere,
// and empty reports.
func settle(batch []telling) []telling {
	return slices.DeleteFunc(batch, func(t telling) bool {
		if len(t.req.Updates) == 0 {
			t.s.reported(t.seq)
			return true
		}
		return t.s.ctx.Err() != nil
	})
}

func (h *Hub) tellOnce(ctx context.Context, batch []telling) error {
	if len(batch) == 1 {
		_, err := msg.NodeUpdateAllocs.Call(ctx, h.cfg.Caller, batch[0].req)
		if err == nil {
			batch[0].s.reported(batch[0].seq)
		}
		return err
	}
	req := &msg.NodeReportRequest{Nodes: make([]*msg.NodeUpdateAllocsRequest, len(batch))}
	for i, t := range batch {
		req.Nodes[i] = t.req
	}
	resp, err := msg.NodeReportAt.Call(ctx, h.cfg.Caller, req)
	if err != nil {
		return err
	}
	refused := make(map[int]*msg.NodeReportRefused, len(resp.Refused))
	for _, r := range resp.Refused {
		refused[r.Place] = r
	}
	for i, t := range batch {
		if r := refused[i]; r != nil {
			t.s.end(model.Errorf(model.Code(r.Code), "%s", r.Message))
		} else {
			t.s.reported(t.seq)
		}
	}
	return nil
}

// tellEach tells one by one: to a leader of a version without gathered reports, or
// to find which of them it does not take.
func (h *Hub) tellEach(ctx context.Context, batch []telling) {
	var g errgroup.Group
	g.SetLimit(oneByOne)
	for _, t := range batch {
		g.Go(func() error {
			err := t.s.insist(func(ctx context.Context) error {
				_, err := msg.NodeUpdateAllocs.Call(ctx, h.cfg.Caller, t.req)
				return err
			})
			if err != nil {
				t.s.end(err)
			} else {
				t.s.reported(t.seq)
			}
			return nil
		})
	}
	_ = g.Wait() // each session has heard of its own
}
