package entry

import (
	"errors"
	"strings"
	"testing"

	"github.com/opencontainers/cgroups"
	"github.com/opencontainers/runc/libcontainer/configs"
)

func TestInWords(t *testing.T) {
	s := &Spec{Args: []string{"/bin/web"}, Cwd: "/srv", UID: 7, Config: &configs.Config{Cgroups: &cgroups.Cgroup{Resources: &cgroups.Resources{Memory: 4 << 20}}}}
	for in, want := range map[string]string{
		`unable to start: exec: "web": executable file not found in $PATH`:            "command not found: /bin/web is in no directory",
		`unable to start: exec: "/bin/web": stat /bin/web: no such file or directory`: "command not found: /bin/web does not exist",
		`exec: "/bin/web": permission denied`:                                         "not executable by user id 7",
		`exec: "/bin/web": is a directory`:                                            "is a directory",
		`exec: "/bin/web": ` + refused:                                                "not a program for this machine",
		`chdir to cwd ("/srv") set in config.json failed: permission denied`:          "working directory /srv",
		`container init was OOM-killed (memory limit too low?)`:                       "memory limit of 4 MB is too low",
		`mount /x: no such file or directory`:                                         "did not start: mount /x: no such file",
		`something else`:                                                              "did not start: something else",
	} {
		if got := s.InWords(errors.New(in)).Error(); !strings.Contains(got, want) {
			t.Errorf("%s\n got %s\nwant %s", in, got, want)
		}
	}
}

func TestMainLeavesOthersAlone(t *testing.T) {
	for _, args := range [][]string{nil, {"steppe"}, {"steppe", "agent"}, {"steppe", "init"}, {"steppe", "__exec-launch", "more"}} {
		if Main(args) {
			t.Errorf("%q was taken", args)
		}
	}
}
