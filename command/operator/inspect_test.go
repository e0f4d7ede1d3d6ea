package operator

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const meta = `{"Format":1,"Index":7,"Term":2,"Size":5,"Created":"2026-01-02T03:04:05Z","Server":"s1"}`

// archive makes a snapshot; change may spoil a part of it.
func archive(t testing.TB, change func(files map[string]string)) []byte {
	files := map[string]string{"meta.json": meta, "state.bin": "state"}
	sums := ""
	for _, n := range []string{"meta.json", "state.bin"} {
		sums += fmt.Sprintf("%x  %s\n", sha256.Sum256([]byte(files[n])), n)
	}
	files["SHA256SUMS"] = sums
	if change != nil {
		change(files)
	}
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	w := tar.NewWriter(z)
	for _, n := range []string{"meta.json", "state.bin", "SHA256SUMS", "extra"} {
		text, ok := files[n]
		if !ok {
			continue
		}
		if err := w.WriteHeader(&tar.Header{Name: n, Mode: 0o600, Size: int64(len(text))}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestInspect(t *testing.T) {
	m, err := inspectArchive(bytes.NewReader(archive(t, nil)))
	if err != nil || m.Index != 7 || m.Term != 2 || m.Server != "s1" || m.Created.Year() != 2026 {
		t.Fatalf("%+v, %v", m, err)
	}
	for name, c := range map[string]struct {
		change func(map[string]string)
		want   string
	}{
		"state damaged": {func(f map[string]string) { f["state.bin"] = "stale" }, "checksum of state.bin is wrong"},
		"meta damaged":  {func(f map[string]string) { f["meta.json"] = "{}" }, "checksum of meta.json is wrong"},
		"no state":      {func(f map[string]string) { delete(f, "state.bin") }, "parts are missing"},
		"no sums":       {func(f map[string]string) { delete(f, "SHA256SUMS") }, "parts are missing"},
		"extra file":    {func(f map[string]string) { f["extra"] = "x" }, `a file "extra" that does not belong there`},
		"no JSON":       {func(f map[string]string) { f["meta.json"] = "x" }, "invalid character"},
	} {
		if _, err := inspectArchive(bytes.NewReader(archive(t, c.change))); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	whole := archive(t, nil)
	for n := range whole {
		if _, err := inspectArchive(bytes.NewReader(whole[:n])); err == nil {
			t.Errorf("%d of %d bytes count as whole", n, len(whole))
		}
	}
}

// A snapshot that did not come whole leaves an earlier file alone and no other
// behind.
func TestSaveKeepsWholeFilesOnly(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "x.snap")
	whole := archive(t, nil)
	if _, err := writeWhole(path, bytes.NewReader(whole)); err != nil {
		t.Fatal(err)
	}
	if _, err := writeWhole(path, bytes.NewReader(whole[:len(whole)/2])); err == nil {
		t.Fatal("half a snapshot was kept")
	}
	got, err := os.ReadFile(path)
	if err != nil || !bytes.Equal(got, whole) {
		t.Fatalf("%d bytes, %v", len(got), err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 1 {
		t.Fatalf("%v, %v", entries, err)
	}
}

func FuzzInspect(f *testing.F) {
	f.Add(archive(f, nil))
	f.Add(archive(f, nil)[:40])
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := inspectArchive(bytes.NewReader(data))
		if (m == nil) == (err == nil) {
			t.Fatalf("%v, %v", m, err)
		}
	})
}
