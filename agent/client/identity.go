package client

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/steppe-project/steppe/agent/client/db"
	"github.com/steppe-project/steppe/internal/durable"
	"github.com/steppe-project/steppe/model"
)

// Files of the state directory.
const (
	stateFile  = "client.db"
	idFile     = "client-id"
	secretFile = "secret-id"
)

// prepareDirs makes the client's directories and says in words why it cannot.
func prepareDirs(c *Config) error {
	for _, d := range []struct {
		path string
		mode os.FileMode
	}{{c.StateDir, 0o700}, {c.AllocDir, 0o711}} {
		if err := durable.MkdirAll(d.path, d.mode); err != nil {
			return model.Errorf(model.CodeInvalid, "the client's directory cannot be used: %w", err)
		}
	}
	probe := filepath.Join(c.AllocDir, ".probe")
	if err := os.Mkdir(probe, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return model.Errorf(model.CodeInvalid, "alloc_dir cannot be written to: %w", err)
	}
	return os.Remove(probe)
}

// identity reads or makes an id that the node keeps for ever.
func identity(dir, file string) (string, error) {
	path := filepath.Join(dir, file)
	data, err := os.ReadFile(path)
	if err == nil {
		id, err := uuid.Parse(strings.TrimSpace(string(data)))
		if err != nil {
			return "", model.Errorf(model.CodeInvalid, "%s does not hold an id (%w); remove it to become a new node", path, err)
		}
		return id.String(), nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return "", model.Errorf(model.CodeInvalid, "the node's identity cannot be read: %w", err)
	}
	id := uuid.NewString()
	return id, durable.WriteFile(path, []byte(id+"\n"), 0o600)
}

// openState opens the state file; a damaged one is moved aside.
func (c *Client) openState() error {
	path := filepath.Join(c.cfg.StateDir, stateFile)
	store, err := db.Open(path)
	if errors.Is(err, db.ErrCorrupt) {
		aside := fmt.Sprintf("%s.damaged-%d", path, time.Now().Unix())
		c.log.Error("the client's state file is damaged and is moved aside; what runs is found again from the allocation directories",
			"error", err, "moved_to", aside)
		if err := os.Rename(path, aside); err != nil {
			return err
		}
		store, err = db.Open(path)
	}
	if err != nil {
		return model.Errorf(model.CodeInvalid, "client state: %w", err)
	}
	c.store = store
	return nil
}
