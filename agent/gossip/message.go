package gossip

import (
	"errors"
	"fmt"
	"time"

	"github.com/hashicorp/memberlist"
	"github.com/tinylib/msgp/msgp"

	"github.com/steppe-project/steppe/model"
)

// messageDeparture is the only message of our own: a member leaves on purpose, or
// an operator or autopilot declares a failed one to have left. memberlist knows
// the difference between dead and left, but does not tell.
const messageDeparture = 1

// maxIDBytes bounds an id in a message.
const maxIDBytes = 256

// intentMemory is how long the announcement of a departure counts. A member
// that falls silent within it has left, one that does so later has failed.
const intentMemory = time.Minute

func encodeDeparture(id string) []byte {
	return msgp.AppendString(msgp.AppendArrayHeader([]byte{messageDeparture}, 1), id)
}

// decodeDeparture reads a message; "" for a kind that a later version sends.
func decodeDeparture(b []byte) (id string, err error) {
	if len(b) == 0 {
		return "", errors.New("empty message")
	}
	if b[0] != messageDeparture {
		return "", nil
	}
	n, b, err := msgp.ReadArrayHeaderBytes(b[1:])
	if err == nil && n < 1 {
		err = errors.New("no fields")
	}
	if err == nil {
		id, _, err = msgp.ReadStringBytes(b)
	}
	if err == nil && (id == "" || len(id) > maxIDBytes) {
		err = fmt.Errorf("id of %d bytes", len(id))
	}
	return id, err
}

// ForceLeave declares a failed member to have left, everywhere. CodeNotFound
// when it is not known, CodeConflict when it lives.
func (p *Pool) ForceLeave(id string) error {
	m, ok := p.table.get(id)
	switch {
	case !ok:
		return model.Errorf(model.CodeNotFound, "no member with id %q", id)
	case m.Status == StatusAlive:
		return model.Errorf(model.CodeConflict, "member %s (%s) is alive; stop it, or make it leave", m.Meta.Name, id)
	}
	p.departed(id, nil)
	return nil
}

// departed notes that id leaves or has left, and passes it on when it is news.
// sent, when set, is closed when all that should know were told.
func (p *Pool) departed(id string, sent chan struct{}) {
	now := time.Now()
	news := p.table.change(id, func(m *Member) EventType {
		switch {
		case m.Status == StatusFailed:
			m.Status = StatusLeft
			return EventLeave
		case m.Status == StatusAlive && now.Sub(m.leaving) > intentMemory:
			m.leaving = now
			return silent
		}
		return ""
	})
	if news {
		p.queue.QueueBroadcast(&departure{id: id, sent: sent})
	} else if sent != nil {
		close(sent)
	}
}

// departure is a message on its way.
type departure struct {
	id   string
	sent chan struct{}
}

// Invalidates implements memberlist.Broadcast.
func (d *departure) Invalidates(other memberlist.Broadcast) bool {
	o, ok := other.(*departure)
	return ok && o.id == d.id
}

// Message implements memberlist.Broadcast.
func (d *departure) Message() []byte { return encodeDeparture(d.id) }

// Finished implements memberlist.Broadcast.
func (d *departure) Finished() {
	if d.sent != nil {
		close(d.sent)
	}
}

// NodeMeta implements memberlist.Delegate.
func (p *Pool) NodeMeta(int) []byte { return *p.meta.Load() }

// NotifyMsg implements memberlist.Delegate.
func (p *Pool) NotifyMsg(b []byte) {
	id, err := decodeDeparture(b)
	if err != nil {
		p.cfg.Logger.Warn("unreadable gossip message", "error", err)
		return
	}
	if id != "" && id != p.cfg.ID {
		p.departed(id, nil)
	}
}

// GetBroadcasts implements memberlist.Delegate.
func (p *Pool) GetBroadcasts(overhead, limit int) [][]byte {
	return p.queue.GetBroadcasts(overhead, limit)
}

// LocalState implements memberlist.Delegate.
func (p *Pool) LocalState(bool) []byte { return nil }

// MergeRemoteState implements memberlist.Delegate.
func (p *Pool) MergeRemoteState([]byte, bool) {}
