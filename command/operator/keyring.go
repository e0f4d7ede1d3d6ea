package operator

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"flag"
	"fmt"
	"maps"
	"slices"

	"github.com/steppe-project/steppe/api"
	"github.com/steppe-project/steppe/command/base"
)

// KeyGenerate is "operator gossip keyring generate".
var KeyGenerate = &base.Command{
	Name: "operator gossip keyring generate", Synopsis: "Make a key for the configuration's encrypt", Offline: true,
	Long:    "All agents of a region, and of those that it is federated with, have the same key. It goes into the configuration as encrypt = \"...\". To change it while the cluster runs: install, use, remove.",
	Example: "steppe operator gossip keyring generate",
	New:     func() base.Runner { return &keyGenerate{} },
}

type keyGenerate struct{}

func (*keyGenerate) Flags(*flag.FlagSet) {}

func (*keyGenerate) Run(_ context.Context, o *base.IO, _ []string) error {
	key := make([]byte, 32)
	if _, err := rand.Read(key); err != nil {
		return err
	}
	o.Print("%s", base64.StdEncoding.EncodeToString(key))
	return nil
}

// KeyList is "operator gossip keyring list".
var KeyList = &base.Command{
	Name: "operator gossip keyring list", Synopsis: "List the keys that agents have",
	Long:    "Counts, of all agents of all regions, those that understand a key and those that send with it, and names the agents that did not answer.",
	Example: "steppe operator gossip keyring list",
	New:     func() base.Runner { return &keyList{} },
}

type keyList struct{ base.DataOptions }

func (k *keyList) Flags(fs *flag.FlagSet) { k.DataFlags(fs) }

func (k *keyList) Run(ctx context.Context, o *base.IO, _ []string) error {
	ring, err := o.Client.Cluster().Keyring(ctx)
	if err != nil {
		return err
	}
	if done, err := o.Data(k.DataOptions, ring); done {
		return err
	}
	sayMessages(o, ring)
	var rows [][]string
	for _, key := range slices.Sorted(maps.Keys(ring.Keys)) {
		rows = append(rows, []string{key, fmt.Sprintf("%d/%d", ring.Keys[key], ring.NumNodes), fmt.Sprintf("%d/%d", ring.PrimaryKeys[key], ring.NumNodes)})
	}
	o.Table([]string{"Key", "Understood by", "Used by"}, rows)
	return nil
}

// sayMessages tells what is amiss with agents.
func sayMessages(o *base.IO, ring *api.Keyring) {
	for _, name := range slices.Sorted(maps.Keys(ring.Messages)) {
		o.Say("%s %s: %s", o.Paint(base.Yellow, "Warning:"), base.Clean(name), base.Clean(ring.Messages[name]))
	}
}

// KeyInstall, KeyUse and KeyRemove are the steps of a rotation.
var (
	KeyInstall = keyChange(keyStep{op: "install", done: "Installed on %d agents", do: api.Cluster.InstallKey},
		"Have all agents understand a further key",
		"The first step of changing the key: no agent sends with it yet. The second is use, the last is to remove the old one.")
	KeyUse = keyChange(keyStep{op: "use", done: "Used by %d agents"},
		"Have all agents send with an installed key",
		"The second step of changing the key. It is refused while an agent is not known to have the key, which would be cut off, unless -force is given.")
	KeyRemove = keyChange(keyStep{op: "remove", done: "Removed from %d agents", do: api.Cluster.RemoveKey},
		"Have all agents forget a key that none uses",
		"The last step of changing the key: from then on whoever has only the removed key is refused. Set encrypt of the configurations to the new key, for agents that are added.")
)

// keyStep is one step of a rotation.
type keyStep struct {
	op, done string
	do       func(c api.Cluster, ctx context.Context, key string) (*api.Keyring, error) // nil for use, which can be forced
	force    bool
}

func keyChange(step keyStep, synopsis, long string) *base.Command {
	return &base.Command{
		Name: "operator gossip keyring " + step.op, Synopsis: synopsis, Args: "KEY", MinArgs: 1, MaxArgs: 1, Long: long,
		Example: "steppe operator gossip keyring " + step.op + " \"$KEY\"",
		New:     func() base.Runner { own := step; return &own },
	}
}

func (k *keyStep) Flags(fs *flag.FlagSet) {
	if k.do == nil {
		fs.BoolVar(&k.force, "force", false, "Use the key although some agents are not known to have it.")
	}
}

func (k *keyStep) Run(ctx context.Context, o *base.IO, args []string) error {
	use := func(c api.Cluster, ctx context.Context, key string) (*api.Keyring, error) {
		return c.UseKey(ctx, key, k.force)
	}
	if k.do != nil {
		use = k.do
	}
	ring, err := use(o.Client.Cluster(), ctx, args[0])
	if err != nil {
		return err
	}
	sayMessages(o, ring)
	o.Say(k.done, ring.NumNodes)
	return nil
}
