package operator

import (
	"archive/tar"
	"bufio"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/steppe-project/steppe/command/base"
	"github.com/steppe-project/steppe/model"
)

// SnapshotInspect is "operator snapshot inspect".
var SnapshotInspect = &base.Command{
	Name: "operator snapshot inspect", Synopsis: "Describe a saved state and verify its checksums", Args: "FILE", MinArgs: 1, MaxArgs: 1,
	Offline: true,
	Long:    "Reads the file only; no agent is needed.",
	Example: "steppe operator snapshot inspect backup.snap",
	New:     func() base.Runner { return &snapshotInspect{} },
}

type snapshotInspect struct{ base.DataOptions }

func (s *snapshotInspect) Flags(fs *flag.FlagSet) { s.DataFlags(fs) }

// archiveMeta is meta.json of a snapshot's archive.
type archiveMeta struct {
	Format  int
	Index   uint64
	Term    uint64
	Size    int64
	Created time.Time
	Server  string
}

// maxTextBytes bounds meta.json and SHA256SUMS.
const maxTextBytes = 1 << 20

func (s *snapshotInspect) Run(_ context.Context, o *base.IO, args []string) error {
	f, err := os.Open(args[0])
	if err != nil {
		return err
	}
	defer f.Close()
	meta, err := inspectArchive(f)
	if err != nil {
		return model.Errorf(model.CodeInvalid, "%s is not a whole snapshot: %w", args[0], err)
	}
	if done, err := o.Data(s.DataOptions, meta); done {
		return err
	}
	o.Fields(
		"Format", fmt.Sprint(meta.Format), "Index", fmt.Sprint(meta.Index), "Term", fmt.Sprint(meta.Term),
		"State", base.Bytes(meta.Size), "Created", base.Time(meta.Created), "Server", meta.Server, "Checksums", "correct",
	)
	return nil
}

// inspectArchive reads a gzipped tar of meta.json, state.bin and SHA256SUMS, and
// compares the sums.
func inspectArchive(r io.Reader) (*archiveMeta, error) {
	zr, err := gzip.NewReader(bufio.NewReader(r))
	if err != nil {
		return nil, err
	}
	tr := tar.NewReader(zr)
	var meta archiveMeta
	sums, want := map[string]string{}, ""
	for {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		sum := sha256.New()
		switch h.Name {
		case "state.bin":
			if _, err := io.Copy(sum, tr); err != nil {
				return nil, err
			}
		case "meta.json", "SHA256SUMS":
			text, err := io.ReadAll(io.LimitReader(tr, maxTextBytes))
			if err != nil {
				return nil, err
			}
			sum.Write(text)
			if h.Name == "SHA256SUMS" {
				want = string(text)
				continue
			}
			if err := json.Unmarshal(text, &meta); err != nil {
				return nil, err
			}
		default:
			return nil, fmt.Errorf("it holds a file %q that does not belong there", base.Clean(h.Name))
		}
		sums[h.Name] = hex.EncodeToString(sum.Sum(nil))
	}
	if _, err := io.Copy(io.Discard, zr); err != nil { // up to gzip's own checksum
		return nil, err
	}
	if want == "" || sums["meta.json"] == "" || sums["state.bin"] == "" {
		return nil, errors.New("parts are missing")
	}
	for _, line := range strings.Split(strings.TrimSpace(want), "\n") {
		sum, name, _ := strings.Cut(line, "  ")
		if sums[name] != sum {
			return nil, fmt.Errorf("the checksum of %s is wrong: it was damaged", base.Clean(name))
		}
	}
	return &meta, nil
}
