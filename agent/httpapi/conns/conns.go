// Package conns bounds the connections of an HTTP server by address.
//
// Contract: an address has at most so many; a new one costs its longest idle one
// its place, or its own when all are at work.
//
// Example:
//
//	srv := &http.Server{ConnState: conns.New(100).Observe}
package conns

import (
	"container/list"
	"net"
	"net/http"
	"sync"
)

// Table bounds connections by address. Instead of refusing a new one it
// closes the address's longest idle one, so that a pile of idle connections
// locks nobody out; only when all are at work is the new one closed.
type Table struct {
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

// New makes a table for at most max connections of an address; 0 or less for any
// number.
func New(max int) *Table {
	return &Table{max: max, byIP: map[string]*list.List{}, all: map[net.Conn]*tracked{}, n: map[string]int{}}
}

// Observe is http.Server's ConnState hook.
func (t *Table) Observe(c net.Conn, state http.ConnState) {
	if t.max <= 0 {
		return
	}
	if victim := t.change(c, state); victim != nil {
		_ = victim.Close()
	}
}

func (t *Table) change(c net.Conn, state http.ConnState) (victim net.Conn) {
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

func (t *Table) add(c net.Conn) (victim net.Conn) {
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

func (t *Table) drop(c net.Conn) {
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
