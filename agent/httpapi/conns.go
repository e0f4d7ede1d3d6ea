package httpapi

import (
	"container/list"
	"net"
	"net/http"
	"sync"
)

// connTable bounds connections by address. Instead of refusing a new one it
// closes the address's longest idle one, so that a pile of idle connections
// locks nobody out; only when all are at work is the new one closed.
type connTable struct {
	max  int
	mu   sync.Mutex
	byIP map[string]*list.List // of *tracked; idle ones, longest idle first
	all  map[net.Conn]*tracked
	n    map[string]int
}

type tracked struct {
	conn net.Conn
	ip   string
	idle *list.Element
}

func newConnTable(max int) *connTable {
	return &connTable{max: max, byIP: map[string]*list.List{}, all: map[net.Conn]*tracked{}, n: map[string]int{}}
}

// observe is http.Server's ConnState hook.
func (t *connTable) observe(c net.Conn, state http.ConnState) {
	if t.max <= 0 {
		return
	}
	if victim := t.change(c, state); victim != nil {
		_ = victim.Close()
	}
}

func (t *connTable) change(c net.Conn, state http.ConnState) (victim net.Conn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch state {
	case http.StateNew:
		return t.add(c)
	case http.StateActive:
		if k := t.all[c]; k != nil && k.idle != nil {
			t.byIP[k.ip].Remove(k.idle)
			k.idle = nil
		}
	case http.StateIdle:
		if k := t.all[c]; k != nil && k.idle == nil {
			k.idle = t.byIP[k.ip].PushBack(k)
		}
	case http.StateClosed, http.StateHijacked:
		t.drop(c)
	}
	return nil
}

func (t *connTable) add(c net.Conn) (victim net.Conn) {
	ip, _, err := net.SplitHostPort(c.RemoteAddr().String())
	if err != nil {
		ip = c.RemoteAddr().String()
	}
	if t.byIP[ip] == nil {
		t.byIP[ip] = list.New()
	}
	if t.n[ip] >= t.max {
		oldest := t.byIP[ip].Front()
		if oldest == nil {
			return c
		}
		victim = oldest.Value.(*tracked).conn
		t.drop(victim)
		if t.byIP[ip] == nil {
			t.byIP[ip] = list.New()
		}
	}
	k := &tracked{conn: c, ip: ip}
	k.idle = t.byIP[ip].PushBack(k) // has asked nothing yet: as good as idle
	t.all[c] = k
	t.n[ip]++
	return victim
}

func (t *connTable) drop(c net.Conn) {
	k := t.all[c]
	if k == nil {
		return
	}
	delete(t.all, c)
	if k.idle != nil {
		t.byIP[k.ip].Remove(k.idle)
	}
	if t.n[k.ip]--; t.n[k.ip] == 0 {
		delete(t.n, k.ip)
		delete(t.byIP, k.ip)
	}
}
