package agent

import (
	"testing"

	"github.com/steppe-project/steppe/agent/config"
	"github.com/steppe-project/steppe/model/lease"
)

// TestDefaultLease: the configuration, which knows no rules, and the rules say one
// length.
func TestDefaultLease(t *testing.T) {
	if got := config.Duration(config.Default().Server.MinHeartbeatTTL); got != lease.TTL {
		t.Errorf("the configuration says %v, the rules %v", got, lease.TTL)
	}
}

// TestConnsOf: 0 in the configuration is no limit, not the default.
func TestConnsOf(t *testing.T) {
	n := func(i int) *int { return &i }
	for _, c := range []struct {
		limit *int
		want  int
	}{{nil, 0}, {n(0), -1}, {n(-3), -1}, {n(100), 100}} {
		if got := connsOf(c.limit); got != c.want {
			t.Errorf("%v: %d, want %d", c.limit, got, c.want)
		}
	}
}
