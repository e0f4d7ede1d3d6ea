package operator

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"flag"

	"github.com/steppe-project/steppe/command/base"
)

// KeyGenerate is "operator gossip keyring generate".
var KeyGenerate = &base.Command{
	Name: "operator gossip keyring generate", Synopsis: "Make a key for the configuration's encrypt", Offline: true,
	Long:    "All agents of a region have the same key. It goes into the configuration as encrypt = \"...\".",
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
