package image

import (
	"os"
	"os/exec"
	"testing"

	"github.com/opencontainers/runc/libcontainer/exeseal"
)

func TestSealed(t *testing.T) {
	self, err := os.ReadFile("/bin/true")
	if err != nil {
		t.Fatal(err)
	}
	text := string(self)
	f, err := sealed(text)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if !exeseal.IsCloned(f) {
		t.Error("libcontainer would copy it")
	}
	if _, err := f.WriteAt([]byte("x"), 0); err == nil {
		t.Error("it can be written to")
	}
	path := "/proc/self/fd/3"
	cmd := exec.Command(path)
	cmd.ExtraFiles = []*os.File{f}
	if err := cmd.Run(); err != nil {
		t.Error(err)
	}
}

func TestNoneWithoutTheTag(t *testing.T) {
	if (program == "") != (Path() == "") {
		t.Error(len(program), Path())
	}
}
