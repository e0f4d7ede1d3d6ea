package faults

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// The table that holds the rules of Drop and Lose in an agent's namespace.
const table = "inet steppe_faults"

// Drop has an agent's machine drop all that comes from others: they hear it, it
// does not hear them. Other rules of that machine end.
func (s *Site) Drop(a *Agent, from ...*Agent) {
	s.t.Helper()
	s.rules(a, from, "drop")
}

// Lose has an agent's machine lose a share of the packets from others, in percent.
func (s *Site) Lose(a *Agent, percent int, from ...*Agent) {
	s.t.Helper()
	s.rules(a, from, fmt.Sprintf("numgen random mod 100 < %d drop", percent))
}

// Clear ends what Drop and Lose began at an agent's machine.
func (s *Site) Clear(a *Agent) {
	s.t.Helper()
	if err := s.nft(a, "add table "+table+"\ndelete table "+table+"\n"); err != nil {
		s.t.Fatal(err)
	}
}

func (s *Site) rules(a *Agent, from []*Agent, verdict string) {
	s.t.Helper()
	addrs := make([]string, 0, len(from))
	for _, f := range from {
		addrs = append(addrs, f.Addr)
	}
	err := s.nft(a, fmt.Sprintf("add table %s\ndelete table %s\ntable %s {\n chain in {\n  type filter hook input priority 0;\n  ip saddr { %s } %s\n }\n}\n",
		table, table, table, strings.Join(addrs, ", "), verdict))
	if err != nil {
		s.t.Fatal(err)
	}
}

// nft runs rules in an agent's namespace.
func (s *Site) nft(a *Agent, rules string) error {
	cmd := exec.Command("nsenter", "--net=/run/netns/"+s.space(a.Name), "nft", "-f", "-")
	cmd.Stdin = strings.NewReader(rules)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("nft: %w: %s", err, out)
	}
	return nil
}

// CanFilter tells why packets cannot be dropped here, nil when they can.
func (s *Site) CanFilter(a *Agent) error {
	return s.nft(a, "add table "+table+"\ndelete table "+table+"\n")
}

// Freeze stops the agent's process where it stands (SIGSTOP).
func (a *Agent) Freeze() { a.signal(syscall.SIGSTOP) }

// Thaw has a frozen process go on (SIGCONT).
func (a *Agent) Thaw() { a.signal(syscall.SIGCONT) }

func (a *Agent) signal(sig syscall.Signal) {
	a.site.t.Helper()
	if err := a.cmd.Process.Signal(sig); err != nil {
		a.site.t.Fatalf("signal %s: %v", a.Name, err)
	}
}

// Up tells whether the agent was started and not ended by the test.
func (a *Agent) Up() bool { return a.cmd != nil }

func (a *Agent) clockPath() string { return a.conf + ".clock" }

// SetClock sets the wall clock of the agent's server role ahead, or back when
// offset is negative. It needs a binary of this package's own building.
func (a *Agent) SetClock(offset time.Duration) {
	a.site.t.Helper()
	if err := os.WriteFile(a.clockPath()+".new", []byte(offset.String()), 0o644); err != nil {
		a.site.t.Fatal(err)
	}
	if err := os.Rename(a.clockPath()+".new", a.clockPath()); err != nil {
		a.site.t.Fatal(err)
	}
}

// Tag is the site's name, which no other has.
func (s *Site) Tag() string { return s.tag }
