package operator

import (
	"context"
	"flag"
	"io"
	"os"
	"path/filepath"

	"github.com/steppe-project/steppe/command/base"
	"github.com/steppe-project/steppe/model"
)

// SnapshotSave is "operator snapshot save".
var SnapshotSave = &base.Command{
	Name: "operator snapshot save", Synopsis: "Save the cluster's state to a file", Args: "FILE", MinArgs: 1, MaxArgs: 1,
	Long:    "The archive is verified after it was written, and a file that exists is replaced only then. It holds the whole state: keep it as safe as that.",
	Example: "steppe operator snapshot save backup.snap",
	New:     func() base.Runner { return &snapshotSave{} },
}

type snapshotSave struct{ stale bool }

func (s *snapshotSave) Flags(fs *flag.FlagSet) {
	fs.BoolVar(&s.stale, "stale", false, "Any server may answer, also without a leader.")
}

func (s *snapshotSave) Run(ctx context.Context, o *base.IO, args []string) error {
	r, err := o.Client.Cluster().SaveSnapshot(ctx, s.stale)
	if err != nil {
		return err
	}
	defer r.Close()
	n, err := writeWhole(args[0], r)
	if err != nil {
		return err
	}
	o.Say("Wrote %s (%s)", args[0], base.Bytes(n))
	return nil
}

// writeWhole puts an archive under a name only when it is complete.
func writeWhole(path string, r io.Reader) (int64, error) {
	tmp, err := os.CreateTemp(filepath.Dir(path), ".steppe-snapshot-*")
	if err != nil {
		return 0, err
	}
	defer os.Remove(tmp.Name()) // gone already when all went well
	defer tmp.Close()           // closed already, likewise
	n, err := io.Copy(tmp, r)
	if err == nil {
		_, err = tmp.Seek(0, io.SeekStart)
	}
	if err == nil {
		_, err = inspectArchive(tmp)
	}
	if err == nil {
		err = tmp.Sync()
	}
	if err == nil {
		err = tmp.Close()
	}
	if err != nil {
		return n, model.Errorf(model.CodeUnavailable, "the snapshot is not whole, nothing was kept: %w", err)
	}
	return n, os.Rename(tmp.Name(), path)
}

// SnapshotRestore is "operator snapshot restore".
var SnapshotRestore = &base.Command{
	Name: "operator snapshot restore", Synopsis: "Replace the cluster's state by a saved one", Args: "FILE", MinArgs: 1, MaxArgs: 1,
	Long:    "The archive is verified before anything is replaced. Tasks that run and are not part of the restored state are stopped by their nodes.",
	Example: "steppe operator snapshot restore backup.snap",
	New:     func() base.Runner { return &snapshotRestore{} },
}

type snapshotRestore struct{}

func (*snapshotRestore) Flags(*flag.FlagSet) {}

func (*snapshotRestore) Run(ctx context.Context, o *base.IO, args []string) error {
	f, err := os.Open(args[0])
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := inspectArchive(f); err != nil {
		return model.Errorf(model.CodeInvalid, "%s is not a whole snapshot: %w", args[0], err)
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return err
	}
	if err := o.Client.Cluster().RestoreSnapshot(ctx, f); err != nil {
		return err
	}
	o.Say("Restored the state of %s", args[0])
	return nil
}
