package faults

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Kind says where a site's agents stand.
type Kind int

// Kinds of site.
const (
	// Loopback gives each agent a loopback address.
	Loopback Kind = iota
	// Namespaces gives each agent a network namespace; the test is skipped
	// where they cannot be made.
	Namespaces
)

// Site is the agents of one test, and all that must go at its end.
type Site struct {
	t      testing.TB
	kind   Kind
	tag    string // part of every name
	dir    string
	key    string // the region's
	second byte   // of loopback addresses
	third  byte
	agents []*Agent
}

// sites counts sites of this process, for addresses.
var sites atomic.Uint32

// NewSite makes an empty site; t's end takes it away.
func NewSite(t testing.TB, kind Kind) *Site {
	t.Helper()
	var noise [3 + 32]byte
	if _, err := rand.Read(noise[:]); err != nil {
		t.Fatal(err)
	}
	s := &Site{
		t: t, kind: kind, tag: "stf" + hex.EncodeToString(noise[:3]),
		key:    base64.StdEncoding.EncodeToString(noise[3:]),
		second: 64 + noise[0]%128, third: byte(sites.Add(1)),
	}
	s.dir = filepath.Join(scratch, s.tag)
	t.Cleanup(s.close)
	if err := os.Mkdir(s.dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if kind == Namespaces {
		s.makeHub()
	}
	return s
}

// Key is the region's key in base64.
func (s *Site) Key() string { return s.key }

// Dir is where the site's files are.
func (s *Site) Dir() string { return s.dir }

// Await polls until check returns nil, and fails the test after patience. It
// returns how long it took.
func (s *Site) Await(what string, patience time.Duration, check func() error) time.Duration {
	s.t.Helper()
	start := time.Now()
	for {
		err := check()
		if err == nil {
			return time.Since(start)
		}
		if time.Since(start) > patience {
			s.t.Fatalf("%s: not within %v: %v\n%s", what, patience, err, s.logs())
		}
		time.Sleep(pollEvery)
	}
}

// pollEvery is the pause between two looks at something awaited.
const pollEvery = 20 * time.Millisecond

// logs is the end of every agent's log.
func (s *Site) logs() string {
	var b strings.Builder
	for _, a := range s.agents {
		fmt.Fprintf(&b, "--- log of %s\n%s\n", a.Name, a.Log(4000))
	}
	return b.String()
}

// ip runs iproute2.
func (s *Site) ip(args ...string) error {
	out, err := exec.Command("ip", args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("ip %s: %w: %s", strings.Join(args, " "), err, out)
	}
	return nil
}

func (s *Site) space(name string) string { return s.tag + "-" + name }

// subnet is the same for all sites: it exists in their namespaces only.
const subnet = "10.213.77."

// makeHub makes the namespace that holds the bridge, or skips the test.
func (s *Site) makeHub() {
	s.t.Helper()
	if os.Geteuid() != 0 {
		s.t.Skip("network namespaces need root")
	}
	hub := s.space("hub")
	if err := s.ip("netns", "add", hub); err != nil {
		s.t.Skipf("no network namespaces here: %v", err)
	}
	for _, args := range [][]string{
		{"-n", hub, "link", "set", "lo", "up"},
		{"-n", hub, "link", "add", "br0", "type", "bridge"},
		{"-n", hub, "addr", "add", subnet + "1/24", "dev", "br0"},
		{"-n", hub, "link", "set", "br0", "up"},
	} {
		if err := s.ip(args...); err != nil {
			s.t.Fatal(err)
		}
	}
}

// plug makes a namespace on the bridge.
func (s *Site) plug(name, addr string) {
	s.t.Helper()
	hub, own := s.space("hub"), s.space(name)
	for _, args := range [][]string{
		{"netns", "add", own},
		{"-n", hub, "link", "add", "v" + name, "type", "veth", "peer", "name", "eth0", "netns", own},
		{"-n", hub, "link", "set", "v" + name, "master", "br0", "up"},
		{"-n", own, "addr", "add", addr + "/24", "dev", "eth0"},
		{"-n", own, "link", "set", "eth0", "up"},
		{"-n", own, "link", "set", "lo", "up"},
		{"-n", own, "route", "add", "default", "via", subnet + "1"},
	} {
		if err := s.ip(args...); err != nil {
			s.t.Fatal(err)
		}
	}
}

// Cut pulls the cable of an agent's machine.
func (s *Site) Cut(a *Agent) { s.cable(a, "down") }

// Heal puts the cable back.
func (s *Site) Heal(a *Agent) { s.cable(a, "up") }

func (s *Site) cable(a *Agent, state string) {
	s.t.Helper()
	if err := s.ip("-n", s.space("hub"), "link", "set", "v"+a.Name, state); err != nil {
		s.t.Fatal(err)
	}
}

// dial opens connections from where the test stands: the hub, or this machine.
func (s *Site) dial(ctx context.Context, network, address string) (net.Conn, error) {
	d := net.Dialer{Timeout: 5 * time.Second}
	if s.kind == Loopback {
		return d.DialContext(ctx, network, address)
	}
	return inSpace("/run/netns/"+s.space("hub"), func() (net.Conn, error) { return d.DialContext(ctx, network, address) })
}

// inSpace calls open on a thread that is in another network namespace: a socket
// stays in the one it was made in.
func inSpace[T any](path string, open func() (T, error)) (c T, err error) {
	there, err := os.Open(path)
	if err != nil {
		return c, err
	}
	defer there.Close()
	runtime.LockOSThread()
	back, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		runtime.UnlockOSThread()
		return c, err
	}
	defer back.Close()
	if err := unix.Setns(int(there.Fd()), unix.CLONE_NEWNET); err != nil {
		runtime.UnlockOSThread()
		return c, fmt.Errorf("enter %s: %w", path, err)
	}
	c, err = open()
	if backErr := unix.Setns(int(back.Fd()), unix.CLONE_NEWNET); backErr != nil {
		// The thread stays locked, so that it ends with its goroutine.
		return c, errors.Join(err, backErr)
	}
	runtime.UnlockOSThread()
	return c, err
}

// close ends and removes everything, and complains about what it could not.
func (s *Site) close() {
	if s.t.Failed() {
		s.t.Log(s.logs())
	}
	var errs []error
	for _, a := range s.agents {
		a.reap()
	}
	errs = append(errs, s.killAll(), s.removeGroups(), s.unmount())
	if s.kind == Namespaces {
		for _, a := range s.agents {
			errs = append(errs, s.removeSpace(a.Name))
		}
		errs = append(errs, s.removeSpace("hub"))
	}
	errs = append(errs, os.RemoveAll(s.dir))
	if err := errors.Join(errs...); err != nil {
		s.t.Errorf("the site was not removed cleanly: %v", err)
	}
}

func (s *Site) removeSpace(name string) error {
	if _, err := os.Stat("/run/netns/" + s.space(name)); err != nil {
		return nil
	}
	return s.ip("netns", "del", s.space(name))
}

// unmount detaches every mount below the site's directory, deepest first.
func (s *Site) unmount() error {
	var errs []error
	paths := s.Mounts()
	for i := len(paths) - 1; i >= 0; i-- {
		if err := unix.Unmount(paths[i], unix.MNT_DETACH); err != nil {
			errs = append(errs, fmt.Errorf("unmount %s: %w", paths[i], err))
		}
	}
	return errors.Join(errs...)
}

// Mounts lists the mount points below the site's directory, in order of mounting.
func (s *Site) Mounts() []string {
	b, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		s.t.Error(err)
	}
	var out []string
	for line := range strings.Lines(string(b)) {
		if f := strings.Fields(line); len(f) > 1 && strings.HasPrefix(f[1], s.dir+"/") {
			out = append(out, f[1])
		}
	}
	return out
}
