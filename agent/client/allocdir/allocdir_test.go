package allocdir

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

const id = "0a1b2c3d-0000-4000-8000-000000000001"

func newDir(t *testing.T) (*Dir, string) {
	t.Helper()
	base := t.TempDir()
	d, err := New(base, id)
	if err != nil {
		t.Fatal(err)
	}
	return d, base
}

func TestLayout(t *testing.T) {
	old := unix.Umask(0o077) // must not count
	defer unix.Umask(old)
	d, base := newDir(t)
	if d.Exists() {
		t.Error("it is there before it was built")
	}
	for range 2 { // building again changes nothing
		if err := d.Build(); err != nil {
			t.Fatal(err)
		}
		if err := d.BuildTask("web", Owner{}); err != nil {
			t.Fatal(err)
		}
	}
	for name, want := range map[string]os.FileMode{
		"": 0o711, "alloc": 0o777 | os.ModeSticky, "alloc/data": 0o777, "alloc/logs": 0o777, "alloc/tmp": 0o777 | os.ModeSticky,
		"web": 0o777 | os.ModeSticky, "web/local": 0o777, "web/secrets": 0o700, "web/private": 0o700, "web/tmp": 0o777 | os.ModeSticky,
	} {
		info, err := os.Stat(filepath.Join(d.Path(), name))
		if err != nil || info.Mode()&(os.ModePerm|os.ModeSticky) != want {
			t.Errorf("%s: %v %v, want %v", name, info.Mode(), err, want)
		}
	}
	ids, err := List(base)
	if err != nil || !slices.Equal(ids, []string{id}) {
		t.Errorf("%v %v", ids, err)
	}
	if err := d.Remove(); err != nil || d.Exists() {
		t.Errorf("remove: %v", err)
	}
	if err := d.Remove(); err != nil {
		t.Errorf("remove again: %v", err)
	}
}

// TestNames: no id or task name leads out of the base.
func TestNames(t *testing.T) {
	for _, bad := range []string{"", ".", "..", "a/b", "../x", "/etc", "a\x00b"} {
		if _, err := New("/base", bad); err == nil {
			t.Errorf("id %q accepted", bad)
		}
		d, _ := newDir(t)
		if err := d.BuildTask(bad, Owner{}); err == nil {
			t.Errorf("task %q accepted", bad)
		}
	}
	d, _ := newDir(t)
	if err := d.BuildTask(Shared, Owner{}); err == nil {
		t.Error("a task took the shared directory")
	}
}

func TestOwner(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root gives directories away")
	}
	d, _ := newDir(t)
	if err := d.Build(); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		owner    Owner
		uid, gid uint32
		mode     os.FileMode
	}{
		{Owner{User: "1234:2345"}, 1234, 2345, 0o700}, {Owner{User: "1234"}, 1234, 1234, 0o700}, {Owner{User: "no-such-user"}, 0, 0, 0o700},
		{Owner{Isolated: true}, 0, 0, 0o777}, {Owner{User: "root", Isolated: true}, 0, 0, 0o700},
	} {
		name := "t" + strings.ReplaceAll(tc.owner.User, ":", "-")
		if tc.owner.Isolated {
			name += "i"
		}
		if err := d.BuildTask(name, tc.owner); err != nil {
			t.Fatal(err)
		}
		var st unix.Stat_t
		if err := unix.Stat(filepath.Join(d.TaskPath(name), Secrets), &st); err != nil {
			t.Fatal(err)
		}
		if st.Uid != tc.uid || st.Gid != tc.gid || os.FileMode(st.Mode).Perm() != tc.mode {
			t.Errorf("%+v: %d:%d %o", tc.owner, st.Uid, st.Gid, st.Mode)
		}
	}
}

func TestRecords(t *testing.T) {
	d, _ := newDir(t)
	for _, task := range []string{"a", "b[1]"} {
		if err := d.BuildTask(task, Owner{}); err != nil {
			t.Fatal(err)
		}
		for _, text := range []string{"old", "new of " + task} {
			if err := d.SaveRecord(task, []byte(text)); err != nil {
				t.Fatal(err)
			}
		}
	}
	got, err := d.Records()
	if err != nil || len(got) != 2 || string(got["b[1]"]) != "new of b[1]" {
		t.Errorf("%q %v", got, err)
	}
	for range 2 {
		if err := d.DropRecord("a"); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := d.Records(); err != nil || len(got) != 1 {
		t.Errorf("%q %v", got, err)
	}
}

// TestRemoveUnmounts: what a driver mounted is let go of, and not deleted.
func TestRemoveUnmounts(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root mounts")
	}
	d, _ := newDir(t)
	if err := d.BuildTask("web", Owner{}); err != nil {
		t.Fatal(err)
	}
	host := t.TempDir()
	precious := filepath.Join(host, "precious")
	if err := os.WriteFile(precious, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	target := filepath.Join(d.TaskPath("web"), Local)
	if err := unix.Mount(host, target, "", unix.MS_BIND, ""); err != nil {
		t.Skipf("this machine does not let us mount: %v", err)
	}
	if err := d.Remove(); err != nil {
		_ = exec.Command("umount", target).Run()
		t.Fatal(err)
	}
	if _, err := os.Stat(precious); err != nil {
		t.Errorf("what was mounted is gone: %v", err)
	}
}
