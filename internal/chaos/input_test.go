package chaos

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/steppe-project/steppe/internal/faults"
)

// says waits until an agent's log has a word.
func (c *Cluster) says(a *faults.Agent, word string) {
	c.T.Helper()
	c.Site.Await(a.Name+" says "+word, faults.Patience, func() error {
		if !strings.Contains(a.Log(256<<10), word) {
			return errors.New("not yet")
		}
		return nil
	})
}

// writes checks that the cluster takes a write.
func (c *Cluster) writes(value int) {
	c.T.Helper()
	c.Site.Await("a write is taken", faults.Patience, func() error {
		ctx, cancel := context.WithTimeout(context.Background(), callLimit)
		defer cancel()
		_, err := c.Servers[0].API.Jobs().Register(ctx, c.register("r", value), nil)
		return err
	})
}

// TestSnapshotsThatAreNone: an archive that is cut, damaged or something else is
// refused by a running cluster, and nothing changes.
func TestSnapshotsThatAreNone(t *testing.T) {
	t.Parallel()
	c := New(t, 3, 0)
	c.writes(1)
	ctx, cancel := context.WithTimeout(context.Background(), 4*faults.Patience)
	defer cancel()
	r, err := c.Servers[0].API.Cluster().SaveSnapshot(ctx, false)
	if err != nil {
		t.Fatal(err)
	}
	archive, err := io.ReadAll(r)
	r.Close()
	if err != nil {
		t.Fatal(err)
	}
	c.writes(2)
	flipped := flip(t, archive)
	for name, bad := range map[string][]byte{
		"empty": {}, "cut": archive[:len(archive)/2], "short of a byte": archive[:len(archive)-1], "flipped": flipped,
		"foreign": []byte("PK\x03\x04 something else altogether"), "half of it twice": append(bytes.Clone(archive[:len(archive)/2]), archive...),
	} {
		if err := c.Servers[1].API.Cluster().RestoreSnapshot(ctx, bytes.NewReader(bad)); err == nil {
			t.Errorf("an archive that is %s was restored", name)
		} else {
			t.Logf("%s: %v", name, err)
		}
	}
	job, _, err := c.Servers[2].API.Jobs().Get(ctx, "r", nil)
	if err != nil || job.Meta["value"] != "2" {
		t.Fatalf("after refused archives the register is %v, %v", job, err)
	}
	if err := c.Servers[1].API.Cluster().RestoreSnapshot(ctx, bytes.NewReader(archive)); err != nil {
		t.Fatalf("the whole archive: %v", err)
	}
	if job, _, err = c.Servers[2].API.Jobs().Get(ctx, "r", nil); err != nil || job.Meta["value"] != "1" {
		t.Errorf("after the restore the register is %v, %v", job, err)
	}
	c.writes(3)
	c.SameState()
}

// flip returns the archive with a bit in its middle flipped. Not every bit of a
// compressed file means something: where a run repeats a byte, another distance
// to copy from gives the same bytes. The first bit that does is taken.
func flip(t *testing.T, archive []byte) []byte {
	whole, err := unpacked(archive)
	if err != nil {
		t.Fatal(err)
	}
	for n := len(archive) / 2 * 8; n < len(archive)*8; n++ {
		flipped := bytes.Clone(archive)
		flipped[n/8] ^= 1 << (n % 8)
		if got, err := unpacked(flipped); err != nil || !bytes.Equal(got, whole) {
			return flipped
		}
	}
	t.Fatal("no bit in the archive's second half means anything")
	return nil
}

func unpacked(archive []byte) ([]byte, error) {
	zr, err := gzip.NewReader(bytes.NewReader(archive))
	if err != nil {
		return nil, err
	}
	return io.ReadAll(zr)
}

// TestStrangeServers: servers that do not belong to a cluster, or no longer, or
// are of the same id as one that does, do it no harm and are told.
func TestStrangeServers(t *testing.T) {
	t.Parallel()
	c := New(t, 3, 0)
	c.writes(1)
	first := c.Servers[0]

	// Another region's key.
	stranger := c.Site.Agent("stranger", "encrypt = \"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\"\nserver {\n enabled = true\n retry_join = [\""+first.Addr+"\"]\n retry_interval = \"1s\"\n}\n")
	stranger.Start()
	c.says(stranger, "key")

	// A copy of a data directory: the same id at another address.
	victim := c.Servers[2]
	victim.Signal(syscall.SIGTERM)
	twin := c.Site.Agent("twin", "server {\n enabled = true\n bootstrap_expect = 3\n retry_join = [\""+first.Addr+"\"]\n retry_interval = \"1s\"\n}\n")
	if err := os.CopyFS(twin.DataDir, os.DirFS(victim.DataDir)); err != nil {
		t.Fatal(err)
	}
	victim.Start()
	c.Site.Await("the cluster is whole", 2*faults.Patience, func() error { return c.healthy(3) })
	twin.Start()
	c.says(first, "two agents use the same id")
	c.writes(2)
	// Whoever leads then, it is not the twin. Only while the victim is up: when it has
	// failed, its id at another address is a server that has moved.
	for range 2 {
		c.Site.Await("another than the victim leads", faults.Patience, func() error { return c.handFrom(victim) })
		if l := c.leader(); l != nil && l != victim {
			l.Signal(syscall.SIGKILL)
			c.Site.Await("another server leads", faults.Patience, func() error {
				if now := c.leader(); now == nil || now == l {
					return errors.New("not yet")
				}
				return nil
			})
			if now := c.leader(); now == twin {
				t.Error("the twin leads")
			}
			l.Start()
		}
		c.Site.Await("the cluster is whole", 2*faults.Patience, func() error { return c.healthy(3) })
	}
	c.SameState()
	stranger.Signal(syscall.SIGKILL)
	if twin.Up() {
		twin.Signal(syscall.SIGKILL)
	}
	c.writes(3)
	c.Site.Await("the cluster is whole", 2*faults.Patience, func() error { return c.healthy(3) })
	c.SameState()
}

// handFrom has a server not lead.
func (c *Cluster) handFrom(a *faults.Agent) error {
	l := c.leader()
	if l == nil {
		return errors.New("none leads")
	}
	if l != a {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), callLimit)
	defer cancel()
	return errors.Join(errors.New("it leads"), a.API.Cluster().TransferLeadership(ctx, "", ""))
}

// TestDisagreement: servers that expect different numbers found no cluster and
// say so; when they agree, they do.
func TestDisagreement(t *testing.T) {
	t.Parallel()
	c := &Cluster{T: t, Site: faults.NewSite(t, faults.Namespaces)}
	for range 3 {
		c.addServer(3)
	}
	odd := c.Servers[2]
	conf := func(expect string) string {
		return "server {\n enabled = true\n bootstrap_expect = " + expect + "\n retry_join = [\"" + c.Servers[0].Addr + "\"]\n retry_interval = \"1s\"\n}\n"
	}
	odd.Configure(conf("2"))
	for _, a := range c.Servers {
		a.Start()
	}
	for _, a := range c.Servers {
		c.says(a, "disagree on bootstrap_expect")
	}
	if l := c.leader(); l != nil {
		t.Errorf("%s leads although the servers disagree", l.Name)
	}
	odd.Signal(syscall.SIGTERM)
	odd.Configure(conf("3"))
	odd.Start()
	c.writes(1)
	c.SameState()
}

// TestRemovedServerReturns: a server that was removed while it was away, and comes
// back with its old log, changes nothing of what was written meanwhile.
func TestRemovedServerReturns(t *testing.T) {
	t.Parallel()
	c := New(t, 3, 0)
	c.writes(1)
	gone := c.Servers[2]
	id, err := c.serverID(gone)
	if err != nil {
		t.Fatal(err)
	}
	gone.Signal(syscall.SIGKILL)
	c.Site.Await("it is removed", faults.Patience, func() error {
		ctx, cancel := context.WithTimeout(context.Background(), callLimit)
		defer cancel()
		return c.Servers[0].API.Cluster().RemovePeer(ctx, id, "")
	})
	c.writes(2)
	gone.Start()
	c.writes(3)
	c.Site.Await("it follows again", 2*faults.Patience, func() error { return c.healthy(3) })
	c.SameState()
}
