package consensus

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"time"

	"github.com/hashicorp/raft"
	"github.com/klauspost/compress/gzip"

	"github.com/steppe-project/steppe/model"
)

// An archive is a gzipped tar of three files, in this order:
//
//	meta.json    ArchiveMeta
//	state.bin    the state as in raft's snapshots (see snapshotMagic)
//	SHA256SUMS   sha256 of both, as sha256sum writes it
const (
	archiveFormat = 1
	metaName      = "meta.json"
	stateName     = "state.bin"
	sumsName      = "SHA256SUMS"

	// maxMetaBytes bounds meta.json and SHA256SUMS: hundreds of servers.
	maxMetaBytes = 1 << 20
	// maxStateBytes bounds state.bin, against archives made to fill the disk.
	maxStateBytes = 64 << 30
)

// ArchiveMeta describes a saved state.
type ArchiveMeta struct {
	// Format is the version of the archive's form.
	Format int
	// Index and Term are of the last log entry in it, Size is of state.bin.
	Index uint64
	Term  uint64
	Size  int64
	// Created is when the archive was made, by the server Server.
	Created time.Time
	Server  string
	// Version is raft's version of the snapshot.
	Version int
}

// SaveSnapshot writes an archive of the state applied here to w. On a leader it
// is the state as of the call; elsewhere it may be older.
func (h *Host) SaveSnapshot(ctx context.Context, w io.Writer) (ArchiveMeta, error) {
	sm, rc, err := h.takeSnapshot(ctx)
	if err != nil {
		return ArchiveMeta{}, model.Errorf(model.CodeUnavailable, "take a snapshot: %w", err)
	}
	defer rc.Close() // it was only read
	meta := ArchiveMeta{
		Format: archiveFormat, Index: sm.Index, Term: sm.Term, Size: sm.Size,
		Created: h.cfg.Now().UTC(), Server: h.cfg.ID, Version: int(sm.Version),
	}
	if err := writeArchive(w, meta, contextReader{ctx, rc}); err != nil {
		return ArchiveMeta{}, fmt.Errorf("write snapshot archive: %w", err)
	}
	return meta, nil
}

// takeSnapshot makes a new raft snapshot, or opens the last when nothing
// happened since.
func (h *Host) takeSnapshot(ctx context.Context) (*raft.SnapshotMeta, io.ReadCloser, error) {
	before := h.Space().Level
	f, err := h.snapshot(ctx)
	if err != nil && ctx.Err() == nil && h.Space().Level != before { // the reserved space was given up
		f, err = h.snapshot(ctx)
	}
	if err == nil {
		return f.Open()
	}
	if !errors.Is(err, raft.ErrNothingNewToSnapshot) {
		return nil, nil, err
	}
	list, lerr := h.store.snapshots.List()
	if lerr != nil || len(list) == 0 {
		return nil, nil, errors.Join(err, lerr)
	}
	return h.store.snapshots.Open(list[0].ID)
}

// snapshot has raft make one. It waits for raft, which may wait for the disk.
func (h *Host) snapshot(ctx context.Context) (raft.SnapshotFuture, error) {
	f, done := h.raft.Snapshot(), make(chan error, 1)
	go func() { done <- f.Error() }() // ends with raft at the latest
	select {
	case err := <-done:
		return f, err
	case <-ctx.Done():
		return f, ctx.Err()
	}
}

func writeArchive(w io.Writer, meta ArchiveMeta, state io.Reader) error {
	zw, err := gzip.NewWriterLevel(w, gzip.BestSpeed)
	if err != nil {
		return err
	}
	tw := tar.NewWriter(zw)
	sums := ""
	add := func(name string, size int64, r io.Reader) error {
		sum := sha256.New()
		err := tw.WriteHeader(&tar.Header{Name: name, Mode: 0o600, Size: size, ModTime: meta.Created, Format: tar.FormatPAX})
		if err == nil {
			_, err = io.Copy(tw, io.TeeReader(r, sum))
		}
		sums += hex.EncodeToString(sum.Sum(nil)) + "  " + name + "\n"
		return err
	}
	text, err := json.MarshalIndent(meta, "", "  ")
	if err != nil {
		return err
	}
	if err := add(metaName, int64(len(text)), bytes.NewReader(text)); err != nil {
		return err
	}
	if err := add(stateName, meta.Size, state); err != nil {
		return err
	}
	final := []byte(sums)
	if err := add(sumsName, int64(len(final)), bytes.NewReader(final)); err != nil {
		return err
	}
	if err := tw.Close(); err != nil {
		return err
	}
	return zw.Close()
}

// VerifySnapshot reads an archive to its end and checks it.
func VerifySnapshot(r io.Reader) (ArchiveMeta, error) { return readArchive(r, io.Discard) }

// readArchive checks an archive and copies its state to w. What w got is only
// good when the error is nil.
func readArchive(r io.Reader, w io.Writer) (ArchiveMeta, error) {
	var meta ArchiveMeta
	zr, err := gzip.NewReader(r)
	if err != nil {
		return meta, badArchive("it is not a snapshot archive", err)
	}
	tr := tar.NewReader(zr)
	want := ""
	text, err := readSmall(tr, metaName, &want)
	if err != nil {
		return meta, err
	}
	if err := json.Unmarshal(text, &meta); err != nil {
		return meta, badArchive("its description cannot be read", err)
	}
	if meta.Format > archiveFormat {
		return meta, model.Errorf(model.CodeInvalid, "the snapshot archive was made by a newer version of steppe (format %d, this one reads up to %d)", meta.Format, archiveFormat)
	}
	if err := readState(tr, w, meta, &want); err != nil {
		return meta, err
	}
	var none string
	got, err := readSmall(tr, sumsName, &none)
	if err != nil {
		return meta, err
	}
	if string(got) != want {
		return meta, badArchive("it is damaged: checksums differ", nil)
	}
	if _, err := tr.Next(); !errors.Is(err, io.EOF) {
		return meta, badArchive("it has more files than it should", err)
	}
	// Reading to the end lets gzip check its own sum, too.
	if n, err := io.Copy(io.Discard, zr); err != nil || n > maxMetaBytes {
		return meta, badArchive("its end is damaged", err)
	}
	return meta, nil
}

func readState(tr *tar.Reader, w io.Writer, meta ArchiveMeta, sums *string) error {
	head, err := next(tr, stateName)
	if err != nil {
		return err
	}
	if head.Size != meta.Size || head.Size > maxStateBytes || head.Size < int64(len(snapshotMagic)) {
		return badArchive(fmt.Sprintf("its state has %d bytes, its description says %d", head.Size, meta.Size), nil)
	}
	magic := make([]byte, len(snapshotMagic))
	if _, err := io.ReadFull(tr, magic); err != nil {
		return badArchive("it is cut off", err)
	}
	if string(magic) != snapshotMagic {
		return badArchive("it does not hold a state of steppe", nil)
	}
	sum := sha256.New()
	out := io.MultiWriter(w, sum)
	if _, err := out.Write(magic); err != nil {
		return fmt.Errorf("write state: %w", err)
	}
	counted := &sourceReader{r: tr}
	if _, err := io.Copy(out, counted); err != nil {
		if counted.err != nil {
			return badArchive("it is cut off or damaged", err)
		}
		return fmt.Errorf("write state: %w", err)
	}
	addSum(sums, sum, stateName)
	return nil
}

func readSmall(tr *tar.Reader, name string, sums *string) ([]byte, error) {
	head, err := next(tr, name)
	if err != nil {
		return nil, err
	}
	if head.Size > maxMetaBytes {
		return nil, badArchive(name+" is too large", nil)
	}
	text, err := io.ReadAll(tr)
	if err != nil {
		return nil, badArchive("it is cut off or damaged", err)
	}
	sum := sha256.New()
	sum.Write(text) // never fails
	addSum(sums, sum, name)
	return text, nil
}

func addSum(sums *string, sum hash.Hash, name string) {
	*sums += hex.EncodeToString(sum.Sum(nil)) + "  " + name + "\n"
}

func next(tr *tar.Reader, name string) (*tar.Header, error) {
	head, err := tr.Next()
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return nil, badArchive("it is cut off before "+name, err)
	case err != nil:
		return nil, badArchive("it is damaged", err)
	case head.Name != name:
		return nil, badArchive(fmt.Sprintf("it holds %q where %s belongs", head.Name, name), nil)
	}
	return head, nil
}

func badArchive(why string, cause error) error {
	if cause == nil {
		return model.Errorf(model.CodeInvalid, "the snapshot archive cannot be used: %s", why)
	}
	return model.Errorf(model.CodeInvalid, "the snapshot archive cannot be used: %s: %w", why, cause)
}

// RestoreSnapshot replaces the cluster's state by an archive's, after checking
// all of it. The servers stay as they are; nothing of the archive's origin but
// the state is taken. Only the leader can (CodeNotLeader).
func (h *Host) RestoreSnapshot(ctx context.Context, r io.Reader) (meta ArchiveMeta, err error) {
	if !h.Leadership().Self {
		return meta, errNotLeader
	}
	spool, err := os.CreateTemp(h.cfg.Dir, spoolPrefix+"*")
	if err != nil {
		return meta, model.Errorf(model.CodeUnavailable, "restore: %w", err)
	}
	defer func() {
		_ = spool.Close() // a scratch file
		if rerr := os.Remove(spool.Name()); rerr != nil && err == nil {
			err = fmt.Errorf("restore: %w", rerr)
		}
	}()
	if meta, err = readArchive(contextReader{ctx, r}, spool); err != nil {
		return meta, err
	}
	if h.cfg.CheckState != nil {
		if _, err := spool.Seek(int64(headerBytes), io.SeekStart); err != nil {
			return meta, fmt.Errorf("restore: %w", err)
		}
		if err := h.cfg.CheckState(spool); err != nil {
			return meta, badArchive("its state cannot be loaded", err)
		}
	}
	if _, err := spool.Seek(0, io.SeekStart); err != nil {
		return meta, fmt.Errorf("restore: %w", err)
	}
	sm := &raft.SnapshotMeta{Version: raft.SnapshotVersion(meta.Version), Index: meta.Index, Term: meta.Term, Size: meta.Size}
	if err := h.raft.Restore(sm, spool, restoreTimeout); err != nil {
		return meta, explainChange("restore snapshot", err)
	}
	h.cfg.Logger.Info("restored a snapshot", "index", meta.Index, "created", meta.Created, "bytes", meta.Size)
	return meta, nil
}

// contextReader fails when ctx ends.
type contextReader struct {
	ctx context.Context
	r   io.Reader
}

// Read implements io.Reader.
func (c contextReader) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.r.Read(p)
}

// sourceReader remembers its source's error, to tell it from the sink's.
type sourceReader struct {
	r   io.Reader
	err error
}

// Read implements io.Reader.
func (s *sourceReader) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		s.err = err
	}
	return n, err
}
