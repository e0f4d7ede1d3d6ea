package exec

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"

	"github.com/moby/profiles/seccomp"
	"github.com/opencontainers/runc/libcontainer/configs"
	"github.com/opencontainers/runc/libcontainer/specconv"
	"github.com/opencontainers/runtime-spec/specs-go"
)

// loaders32 run programs of a 64-bit machine's 32-bit sibling.
var loaders32 = []string{"/lib/ld-linux.so.2", "/lib/ld-linux-armhf.so.3"}

// runs32Bit tells whether this machine is set up for 32-bit programs.
var runs32Bit = sync.OnceValue(func() bool {
	return slices.ContainsFunc(loaders32, func(p string) bool { _, err := os.Stat(p); return err == nil })
})

// filters remembers profiles by their inputs: reading one takes a millisecond,
// and tasks rarely differ in them.
var filters sync.Map

// seccompFilter is the profile that container engines use by default; some of
// its rules depend on the capabilities that the task may have. It allows system
// calls of the machine's own architecture and, where both is set, of its 32-bit
// sibling: each architecture costs every start some 4 ms of compilation. A
// program of another architecture ends by SIGSYS.
func seccompFilter(caps []string, both bool) (*configs.Seccomp, error) {
	key := fmt.Sprint(both, strings.Join(caps, ","))
	if f, ok := filters.Load(key); ok {
		return f.(*configs.Seccomp), nil
	}
	profile, err := seccomp.GetDefaultProfile(&specs.Spec{
		Process: &specs.Process{Capabilities: &specs.LinuxCapabilities{Bounding: caps}},
	})
	if err != nil {
		return nil, err
	}
	if !both {
		profile.Architectures = nil
	}
	profile.Architectures = slices.DeleteFunc(profile.Architectures, func(a specs.Arch) bool { return a == specs.ArchX32 })
	f, err := specconv.SetupSeccomp(profile)
	if err != nil {
		return nil, err
	}
	filters.Store(key, f)
	return f, nil
}
