package faults

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// maxFrame is more than an Ethernet frame of the usual size.
	maxFrame = 2048
	// onTheWay bounds the frames that a relay holds in one direction; more are lost,
	// as in a router.
	onTheWay = 8192
)

// Delay has every packet from and to an agent's machine take so much longer, and at
// random up to jitter more, until undo is called. Packets keep their order. The
// kernel's own means (netem) are often missing, so this is a relay: the machine's
// cable is plugged into a bridge of its own, and frames are carried between that and
// everybody's by this process.
//
//	machine ── veth ── bridge ── tap ══ this process ══ tap ── everybody's bridge
func (s *Site) Delay(a *Agent, by, jitter time.Duration) (undo func()) {
	s.t.Helper()
	hub := s.space("hub")
	own, near, far := "d"+a.Name, "n"+a.Name, "f"+a.Name
	var taps [2]*os.File
	for i, name := range []string{near, far} {
		f, err := s.tap(name)
		if err != nil {
			s.t.Fatalf("delay: %v", err)
		}
		taps[i] = f
	}
	s.all([][]string{
		{"-n", hub, "link", "add", own, "type", "bridge"},
		{"-n", hub, "link", "set", own, "up"},
		{"-n", hub, "link", "set", near, "master", own, "up"},
		{"-n", hub, "link", "set", far, "master", "br0", "up"},
		{"-n", hub, "link", "set", "v" + a.Name, "master", own},
	})
	var wg sync.WaitGroup
	stop := make(chan struct{})
	for _, way := range [][2]*os.File{{taps[0], taps[1]}, {taps[1], taps[0]}} {
		wg.Go(func() { relay(s.t, way[0], way[1], by, jitter, stop) })
	}
	return func() {
		s.t.Helper()
		s.all([][]string{{"-n", hub, "link", "set", "v" + a.Name, "master", "br0"}})
		close(stop)
		err := errors.Join(taps[0].Close(), taps[1].Close()) // the interfaces go with them
		wg.Wait()
		if err != nil {
			s.t.Error(err)
		}
		s.all([][]string{{"-n", hub, "link", "del", own}})
	}
}

// all runs iproute2 for each, and fails the test when one fails.
func (s *Site) all(commands [][]string) {
	s.t.Helper()
	for _, args := range commands {
		if err := s.ip(args...); err != nil {
			s.t.Fatal(err)
		}
	}
}

// frame is one on its way.
type frame struct {
	due  time.Time
	data []byte
}

// relay carries frames from one tap to another, each after its time, until stop.
func relay(t testing.TB, from io.Reader, to io.Writer, by, jitter time.Duration, stop <-chan struct{}) {
	way := make(chan frame, onTheWay)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer close(way)
	wg.Go(func() {
		for f := range way {
			time.Sleep(time.Until(f.due))
			if _, err := to.Write(f.data); err != nil && !stopped(stop) {
				t.Logf("a frame is lost: %v", err) // as when the other end is down
			}
		}
	})
	for {
		buf := make([]byte, maxFrame)
		n, err := from.Read(buf)
		if err != nil {
			if !stopped(stop) {
				t.Errorf("the relay of a delay ends: %v", err)
			}
			return
		}
		f := frame{time.Now().Add(by), buf[:n]}
		if jitter > 0 {
			f.due = f.due.Add(rand.N(jitter))
		}
		select {
		case way <- f:
		default: // lost
		}
	}
}

func stopped(stop <-chan struct{}) bool {
	select {
	case <-stop:
		return true
	default:
		return false
	}
}

// tap makes a tap interface in the hub.
func (s *Site) tap(name string) (*os.File, error) {
	return inSpace("/run/netns/"+s.space("hub"), func() (*os.File, error) {
		fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
		if err != nil {
			return nil, fmt.Errorf("open /dev/net/tun: %w", err)
		}
		req, err := unix.NewIfreq(name)
		if err == nil {
			req.SetUint16(unix.IFF_TAP | unix.IFF_NO_PI)
			err = unix.IoctlIfreq(fd, unix.TUNSETIFF, req)
		}
		if err != nil {
			return nil, errors.Join(fmt.Errorf("make tap %s: %w", name, err), unix.Close(fd))
		}
		return os.NewFile(uintptr(fd), name), nil
	})
}
