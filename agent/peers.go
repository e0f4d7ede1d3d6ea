package agent

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/steppe-project/steppe/agent/gossip"
)

// An agent remembers in its data directory where others were, so that it finds
// the cluster again after a restart even when those that its configuration names
// are down just then: otherwise a client would be taken for lost.
const (
	peersFile = "peers"
	maxPeers  = 8       // addresses remembered, servers first
	peersSize = 4 << 10 // more is not ours
)

func (a *Agent) peersPath() string { return filepath.Join(a.dir.Path(), peersFile) }

// rememberedPeers are the gossip addresses of the last run.
func (a *Agent) rememberedPeers() []string {
	b, err := os.ReadFile(a.peersPath())
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		a.log.Warn("cannot read where other agents were", "error", err)
	}
	if len(b) > peersSize {
		return nil
	}
	return strings.Fields(string(b))
}

// peersPart keeps the file current, and removes it when the agent leaves for good.
func (a *Agent) peersPart() *part {
	return &part{name: "peers", run: func(ctx context.Context) error {
		sub := a.gossip.Subscribe()
		defer sub.Close()
		var last []byte
		for {
			if _, err := sub.Next(ctx); err != nil {
				if ctx.Err() == nil {
					return err
				}
				return a.endPeers()
			}
			if now := peersText(a.id, a.members()); len(now) > 0 && !bytes.Equal(now, last) {
				if err := replaceFile(a.peersPath(), now); err != nil {
					a.log.Warn("cannot note where other agents are", "error", err)
					continue
				}
				last = now
			}
		}
	}}
}

// endPeers forgets the others when the agent leaves for good.
func (a *Agent) endPeers() error {
	if !a.leaving.Load() {
		return nil
	}
	if err := os.Remove(a.peersPath()); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// peersText is the file for some of the living members but self.
func peersText(self string, members []gossip.Member) []byte {
	members = slices.DeleteFunc(members, func(m gossip.Member) bool { return m.ID == self || m.Status != gossip.StatusAlive })
	slices.SortFunc(members, func(x, y gossip.Member) int {
		if x.Meta.Server != y.Meta.Server {
			if x.Meta.Server {
				return -1
			}
			return 1
		}
		return cmp.Compare(x.ID, y.ID)
	})
	var b bytes.Buffer
	for _, m := range members[:min(len(members), maxPeers)] {
		b.WriteString(m.Addr + "\n")
	}
	return b.Bytes()
}

// replaceFile leaves the old or the new text when the process is killed. It does
// not survive a loss of power for certain: then the old peers do as well.
func replaceFile(path string, text []byte) error {
	if err := os.WriteFile(path+".new", text, 0o600); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}
