package tasks

import (
	"fmt"
	"os"
	"os/user"
	"strconv"
	"strings"

	"github.com/steppe-project/steppe/drivers/shim"
)

// User is a resolved user of this machine.
type User struct {
	Name string // "" when the id has no entry
	Home string
	shim.Credential
}

// LookupUser resolves "name", "name:group", "uid" or "uid:gid". An id needs no
// entry in the user database, a name does.
func LookupUser(spec string) (*User, error) {
	name, group, hasGroup := strings.Cut(spec, ":")
	u, err := lookup(name)
	if err != nil {
		return nil, err
	}
	if !hasGroup {
		return u, nil
	}
	gid, err := lookupGroup(group)
	if err != nil {
		return nil, err
	}
	u.GID = gid
	return u, nil
}

func lookup(name string) (*User, error) {
	entry, err := user.Lookup(name)
	id, idErr := strconv.ParseUint(name, 10, 32)
	if err != nil && idErr == nil {
		if entry, err = user.LookupId(name); err != nil {
			return &User{Home: "/", Credential: shim.Credential{UID: uint32(id), GID: uint32(id)}}, nil
		}
	}
	if err != nil {
		return nil, fmt.Errorf("user %q does not exist on this machine", name)
	}
	uid, uidErr := strconv.ParseUint(entry.Uid, 10, 32)
	gid, gidErr := strconv.ParseUint(entry.Gid, 10, 32)
	if uidErr != nil || gidErr != nil {
		return nil, fmt.Errorf("user %q has the ids %q and %q", name, entry.Uid, entry.Gid)
	}
	u := &User{Name: entry.Username, Home: entry.HomeDir, Credential: shim.Credential{UID: uint32(uid), GID: uint32(gid)}}
	ids, err := entry.GroupIds()
	if err != nil {
		return nil, fmt.Errorf("groups of user %q: %w", name, err)
	}
	for _, g := range ids {
		if n, err := strconv.ParseUint(g, 10, 32); err == nil {
			u.Groups = append(u.Groups, uint32(n))
		}
	}
	return u, nil
}

func lookupGroup(name string) (uint32, error) {
	if g, err := user.LookupGroup(name); err == nil {
		name = g.Gid
	}
	n, err := strconv.ParseUint(name, 10, 32)
	if err != nil {
		return 0, fmt.Errorf("group %q does not exist on this machine", name)
	}
	return uint32(n), nil
}

// MayBecome refuses a change of user that this process cannot make.
func (u *User) MayBecome() error {
	if self := os.Geteuid(); self != 0 && uint32(self) != u.UID {
		return fmt.Errorf("cannot run as user id %d: the agent is not root and may only run tasks as itself", u.UID)
	}
	return nil
}

// LoginEnv adds what a login would set and the job did not.
func (u *User) LoginEnv(env []string) []string {
	for _, kv := range [][2]string{{"HOME", u.Home}, {"USER", u.Name}, {"LOGNAME", u.Name}} {
		if _, set := Getenv(env, kv[0]); !set && kv[1] != "" {
			env = append(env, kv[0]+"="+kv[1])
		}
	}
	return env
}

// IDRanges is a list of ids that tasks may not have, such as "0,100-999".
type IDRanges []idRange

type idRange struct{ first, last uint32 }

// ParseIDRanges reads comma separated ids and ranges.
func ParseIDRanges(s string) (IDRanges, error) {
	var out IDRanges
	for part := range strings.SplitSeq(s, ",") {
		if part = strings.TrimSpace(part); part == "" {
			continue
		}
		first, last, isRange := strings.Cut(part, "-")
		if !isRange {
			last = first
		}
		a, errA := strconv.ParseUint(strings.TrimSpace(first), 10, 32)
		b, errB := strconv.ParseUint(strings.TrimSpace(last), 10, 32)
		if errA != nil || errB != nil || a > b {
			return nil, fmt.Errorf("%q is not an id or a range of ids", part)
		}
		out = append(out, idRange{uint32(a), uint32(b)})
	}
	return out, nil
}

// Has tells whether id is in one of the ranges.
func (r IDRanges) Has(id uint32) bool {
	for _, x := range r {
		if id >= x.first && id <= x.last {
			return true
		}
	}
	return false
}

// CheckUser refuses a user whose id or one of whose groups is denied.
func CheckUser(u *User, uids, gids IDRanges) error {
	if uids.Has(u.UID) {
		return fmt.Errorf("running as user id %d is denied by the agent's configuration", u.UID)
	}
	for _, g := range append([]uint32{u.GID}, u.Groups...) {
		if gids.Has(g) {
			return fmt.Errorf("running with group id %d is denied by the agent's configuration", g)
		}
	}
	return nil
}
