package exec

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/moby/sys/capability"
	"github.com/opencontainers/runc/libcontainer/configs"
)

// defaultCaps are what a task may have unless the agent says otherwise: what
// existing container engines grant, without raw sockets.
var defaultCaps = []string{
	"audit_write", "chown", "dac_override", "fowner", "fsetid", "kill", "mknod", "net_bind_service",
	"setfcap", "setgid", "setpcap", "setuid", "sys_chroot",
}

// allCaps in a list stands for every capability.
const allCaps = "all"

// known maps names as job files write them to the kernel's.
var known = sync.OnceValue(func() map[string]string {
	m := map[string]string{}
	for _, c := range capability.ListKnown() {
		m[c.String()] = "CAP_" + strings.ToUpper(c.String())
	}
	return m
})

// normalizeCaps accepts "CAP_NET_RAW", "net_raw" and "all".
func normalizeCaps(list []string) ([]string, error) {
	out := make([]string, 0, len(list))
	for _, name := range list {
		n := strings.TrimPrefix(strings.ToLower(strings.TrimSpace(name)), "cap_")
		if _, ok := known()[n]; !ok && n != allCaps {
			return nil, fmt.Errorf("unknown capability %q", name)
		}
		out = append(out, n)
	}
	return out, nil
}

// bounding are the capabilities that this process could hand on: "all" means
// these, because a start that asks for more than the agent has would fail.
var bounding = sync.OnceValue(func() []string {
	mask := uint64(0)
	b, _ := os.ReadFile("/proc/self/status")
	for line := range strings.Lines(string(b)) {
		if v, ok := strings.CutPrefix(line, "CapBnd:"); ok {
			mask, _ = strconv.ParseUint(strings.TrimSpace(v), 16, 64)
		}
	}
	var out []string
	for _, c := range capability.ListKnown() {
		if mask&(1<<uint(c)) != 0 {
			out = append(out, c.String())
		}
	}
	return out
})

func expand(list []string) []string {
	if slices.Contains(list, allCaps) {
		return bounding()
	}
	return list
}

// taskCaps computes what a task gets: of the default set, what the agent allows;
// plus cap_add, which must be allowed; minus cap_drop. An unprivileged user
// effectively has only what cap_add names, the rest bounds what it may gain.
func taskCaps(allow, add, drop []string, root bool) (*configs.Capabilities, error) {
	add, addErr := normalizeCaps(add)
	drop, dropErr := normalizeCaps(drop)
	if addErr != nil || dropErr != nil {
		return nil, fmt.Errorf("cap_add or cap_drop: %w", firstError(addErr, dropErr))
	}
	allowed := expand(allow)
	for _, c := range expand(add) {
		if !slices.Contains(allowed, c) {
			return nil, fmt.Errorf("cap_add: %q is not among the capabilities that the agent allows (allow_caps: %s)", c, strings.Join(allow, ", "))
		}
	}
	has := func(list []string, c string) bool { return slices.Contains(expand(list), c) }
	var bound, effective []string
	for _, c := range bounding() {
		wanted := has(add, c) || slices.Contains(defaultCaps, c) && slices.Contains(allowed, c)
		if !wanted || has(drop, c) {
			continue
		}
		bound = append(bound, known()[c])
		if root || has(add, c) {
			effective = append(effective, known()[c])
		}
	}
	caps := &configs.Capabilities{Bounding: bound, Effective: effective, Permitted: effective}
	if !root { // what survives execve for a user other than root
		caps.Inheritable, caps.Ambient = effective, effective
	}
	return caps, nil
}

func firstError(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
