package datadir

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/steppe-project/steppe/model"
)

func TestReopenKeepsID(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a", "b")
	d, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	id := d.ID()
	if sub, err := d.Sub("x", "y"); err != nil || sub != filepath.Join(d.Path(), "x", "y") {
		t.Fatal(sub, err)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	d, err = Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if d.ID() != id || len(id) != 36 {
		t.Errorf("id %q, then %q", id, d.ID())
	}
}

// TestFormatIsRaised: a directory of the first format is one of the present one when
// Open returns.
func TestFormatIsRaised(t *testing.T) {
	path := t.TempDir()
	if err := os.WriteFile(filepath.Join(path, formatFile), []byte("1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	d, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if text, err := d.Read(formatFile); text != "2" || err != nil {
		t.Errorf("format %q, %v", text, err)
	}
}

func TestRefusals(t *testing.T) {
	write := func(name, text string) func(t *testing.T, dir string) {
		return func(t *testing.T, dir string) {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	tests := []struct {
		name  string
		spoil func(t *testing.T, dir string)
		want  string
		root  bool // holds for root too
	}{
		{"newer data", write(formatFile, "99\n"), "written by a newer version of steppe (format 99, this binary understands up to 2)", true},
		{"strange format", write(formatFile, "x"), "not a version", true},
		{"strange id", write(idFile, "me"), "does not hold an agent id", true},
		{"in use", func(t *testing.T, dir string) {
			d, err := Open(dir)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { d.Close() })
		}, "is in use by another agent (process ", true},
		{"no permission", func(t *testing.T, dir string) {
			if err := os.Chmod(dir, 0o500); err != nil {
				t.Fatal(err)
			}
		}, "has no permission; change its owner or give another data_dir", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if !tt.root && os.Getuid() == 0 {
				t.Skip("root may do anything")
			}
			dir := t.TempDir()
			tt.spoil(t, dir)
			d, err := Open(dir)
			if err == nil {
				d.Close()
				t.Fatal("opened")
			}
			if !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), dir) {
				t.Errorf("got %q", err)
			}
		})
	}
	file := filepath.Join(t.TempDir(), "f")
	write("f", "")(t, filepath.Dir(file))
	if _, err := Open(filepath.Join(file, "d")); model.CodeOf(err) != model.CodeInvalid || !strings.Contains(err.Error(), "a part of the path is a file") {
		t.Errorf("file in the path: %v", err)
	}
}
