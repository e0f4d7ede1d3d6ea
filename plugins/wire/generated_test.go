package wire

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestGenerated: the committed code is what the .proto files say.
func TestGenerated(t *testing.T) {
	if testing.Short() {
		t.Skip("runs the generators")
	}
	protos, err := filepath.Glob("*/*.proto")
	if err != nil || len(protos) != 5 {
		t.Fatalf("%d .proto files, %v", len(protos), err)
	}
	out := t.TempDir()
	args := []string{"run", "../../internal/protogen", "-out", out}
	for _, p := range protos {
		args = append(args, "plugins/wire/"+filepath.ToSlash(p))
	}
	if text, err := exec.Command("go", args...).CombinedOutput(); err != nil {
		t.Fatalf("go %s: %v\n%s", strings.Join(args, " "), err, text)
	}
	committed, err := filepath.Glob("*/*.pb.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range committed {
		want, err := os.ReadFile(filepath.Join(out, "plugins", "wire", path))
		if err != nil {
			t.Errorf("%s: the .proto files do not make it: %v", path, err)
			continue
		}
		if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s is out of date (%v): run go generate ./plugins/wire", path, err)
		}
	}
}
