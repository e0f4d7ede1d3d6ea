package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const docs = "../../website/docs"

func TestTheManualIsCurrent(t *testing.T) {
	all := pages()
	for name, want := range all {
		got, err := os.ReadFile(filepath.Join(docs, name))
		if err != nil {
			t.Errorf("%v: run go generate ./internal/manual", err)
			continue
		}
		if string(got) != want {
			t.Errorf("%s is not what the code says: run go generate ./internal/manual", name)
		}
	}
	found, err := filepath.Glob(filepath.Join(docs, "cli", "*.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range found {
		if _, ok := all["cli/"+filepath.Base(path)]; !ok {
			t.Errorf("%s is of no command: run go generate ./internal/manual", path)
		}
	}
}

func TestPagesAreReadable(t *testing.T) {
	for name, text := range pages() {
		if strings.Contains(text, "\x1b") || strings.Contains(text, "%!") {
			t.Errorf("%s has what does not belong there", name)
		}
		for i, line := range strings.Split(text, "\n") {
			if strings.HasPrefix(line, "|") && !strings.HasSuffix(line, "|") {
				t.Errorf("%s:%d: a row that does not end: %s", name, i+1, line)
			}
		}
	}
	if !strings.Contains(pages()["api.md"], "| `/v1/jobs` | GET, POST, PUT |") {
		t.Error("api.md lists no jobs")
	}
}

func TestWritingReplacesStalePages(t *testing.T) {
	dir := t.TempDir()
	if err := write(dir, map[string]string{"cli/old.md": "x", "cli/job.md": "x"}); err != nil {
		t.Fatal(err)
	}
	if err := write(dir, map[string]string{"cli/job.md": "y", "api.md": "z"}); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "cli", "old.md")); !os.IsNotExist(err) {
		t.Error("a page that is gone is still there")
	}
	if got, err := os.ReadFile(filepath.Join(dir, "cli", "job.md")); err != nil || string(got) != "y" {
		t.Errorf("%q, %v", got, err)
	}
}
