package query

import (
	"context"
	"fmt"

	"github.com/steppe-project/steppe/agent/rpc/msg"
	"github.com/steppe-project/steppe/fsm/state"
	"github.com/steppe-project/steppe/model"
	"github.com/steppe-project/steppe/model/lease"
)

// brakeGet tells how the brake stands: it is on while nodes are disconnected.
func (q *Queries) brakeGet(ctx context.Context, r *msg.StatusRequest) (*msg.BrakeResponse, error) {
	topics := []state.Topic{state.TopicTable(state.TableNodes), state.TopicKey(state.TableConfig, state.KeyScheduler)}
	return run(ctx, q, &r.QueryOptions, topics,
		func(m *msg.BrakeResponse) *msg.QueryMeta { return &m.QueryMeta },
		func(snap *state.Snapshot) (result[msg.BrakeResponse], error) {
			index := max(snap.TableIndex(state.TableNodes), snap.SchedulerConfig().ModifyIndex)
			return result[msg.BrakeResponse]{&msg.BrakeResponse{Brake: Brake(snap)}, index, ""}, nil
		})
}

// Brake derives the state of the brake.
func Brake(snap *state.Snapshot) msg.BrakeStatus {
	set := lease.BrakeSettings(snap.SchedulerConfig().MassLoss)
	b := msg.BrakeStatus{Threshold: set.Threshold, MinNodes: set.MinNodes, Rate: set.Rate, ReleasedAt: set.ReleasedAt}
	for n := range snap.Nodes(state.Range{}) {
		if n.Status == model.NodeStatusDown {
			continue
		}
		b.Nodes++
		if n.Status == model.NodeStatusDisconnected {
			b.Held = append(b.Held, &msg.BrakeNode{ID: n.ID, Name: n.Name, Since: n.StatusUpdatedAt})
			if b.Since == 0 || n.StatusUpdatedAt < b.Since {
				b.Since = n.StatusUpdatedAt
			}
		}
	}
	if b.Engaged = len(b.Held) > 0; b.Engaged {
		pace := fmt.Sprintf("%d a minute are given up", b.Rate)
		if b.Rate < 0 {
			pace = "none is given up"
		}
		b.Alarm = fmt.Sprintf("many nodes vanished together: %d of %d are held, and what they run is not replaced (%s); "+
			"if they will not come back: steppe operator brake release", len(b.Held), b.Nodes, pace)
	}
	return b
}
