// Package allocdir lays out, opens and removes the directory of an allocation:
//
//	<base>/<allocation id>/alloc/{data,logs,tmp}          shared by its tasks
//	<base>/<allocation id>/<task>/{local,secrets,tmp}     the task's own
//	<base>/<allocation id>/<task>/private                 the agent's and driver's
//
// Contract and invariants:
//
//   - Everything happens inside <base>/<allocation id>: ids and task names that
//     could lead out of it are refused, and files are opened through os.Root.
//   - secrets belongs to the task's user alone; private to the agent alone. What
//     tasks share is open to all of them. A task's directory, which is where it
//     starts, and alloc are open to any user too, with the sticky bit, so that
//     nobody can put something else in the place of private or logs; the
//     allocation's directory above them can be passed but not listed.
//   - Remove never follows a mount: what is still mounted below is unmounted
//     first, or nothing is removed.
//
// Example:
//
//	dir, err := allocdir.New(base, alloc.ID)
//	err = dir.Build()
//	err = dir.BuildTask("web", allocdir.Owner{User: "www-data"})
package allocdir

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/steppe-project/steppe/model"
)

// Names of the directories, as drivers and job files know them.
const (
	Shared  = "alloc"
	Logs    = "logs"
	Local   = "local"
	Secrets = "secrets"
	Private = "private"
	Temp    = "tmp"
)

// recordName is the file in a task's private directory by which a running task
// is found again when the client's state file is lost.
const recordName = ".steppe-task.json"

// Dir is one allocation's directory.
type Dir struct{ path string }

// New names the directory of an allocation; nothing is created.
func New(base, allocID string) (*Dir, error) {
	if !plain(allocID) {
		return nil, model.Errorf(model.CodeInvalid, "allocation id %q cannot be a directory", allocID)
	}
	return &Dir{path: filepath.Join(base, allocID)}, nil
}

// plain tells whether name is one ordinary path element.
func plain(name string) bool {
	return name != "" && name != "." && filepath.IsLocal(name) && !strings.ContainsAny(name, "/\x00")
}

// Path is the directory's path on the host.
func (d *Dir) Path() string { return d.path }

// SharedPath is the path of alloc/.
func (d *Dir) SharedPath() string { return filepath.Join(d.path, Shared) }

// LogPath is the path of the log directory.
func (d *Dir) LogPath() string { return filepath.Join(d.path, Shared, Logs) }

// TaskPath is the path of a task's directory.
func (d *Dir) TaskPath(task string) string { return filepath.Join(d.path, task) }

// Exists tells whether the directory is there.
func (d *Dir) Exists() bool {
	info, err := os.Lstat(d.path)
	return err == nil && info.IsDir()
}

// Open opens the directory for confined access; the caller closes it.
func (d *Dir) Open() (*os.Root, error) {
	root, err := os.OpenRoot(d.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, model.Errorf(model.CodeNotFound, "allocation directory does not exist: it was garbage collected or never created")
	}
	return root, err
}

// Build creates the shared part. It may be called again.
func (d *Dir) Build() error {
	return build(d.path, []entry{
		{"", 0o711}, {Shared, 0o777 | os.ModeSticky}, {Shared + "/data", 0o777}, {Shared + "/" + Logs, 0o777}, {Shared + "/" + Temp, 0o777 | os.ModeSticky},
	})
}

// Owner says who runs a task.
type Owner struct {
	// User is the task's user ("" = the agent's own): name, uid or uid:gid.
	User string
	// Isolated tasks see their directories through a root file system of their
	// own and may run as any user there.
	Isolated bool
}

// BuildTask creates a task's directories. It may be called again. A user
// unknown to this machine is left for the driver to report.
func (d *Dir) BuildTask(task string, owner Owner) error {
	if !plain(task) || task == Shared {
		return model.Errorf(model.CodeInvalid, "task name %q cannot be a directory", task)
	}
	uid, gid, known := owner.lookup()
	secrets := os.FileMode(0o700)
	if owner.Isolated && !known {
		secrets = 0o777
	}
	err := build(d.TaskPath(task), []entry{
		{"", 0o777 | os.ModeSticky}, {Local, 0o777}, {Secrets, secrets}, {Private, 0o700}, {Temp, 0o777 | os.ModeSticky},
	})
	if err != nil || !known {
		return err
	}
	for _, name := range []string{Local, Secrets} {
		err := os.Lchown(filepath.Join(d.TaskPath(task), name), uid, gid)
		if err != nil && os.Geteuid() == 0 {
			return fmt.Errorf("give %s to the task's user: %w", name, err)
		}
	}
	return nil
}

// entry is a directory to be, relative to the one being built.
type entry struct {
	name string
	mode os.FileMode
}

func build(path string, entries []entry) error {
	for _, e := range entries {
		p := filepath.Join(path, e.name)
		err := os.Mkdir(p, e.mode.Perm())
		if errors.Is(err, fs.ErrNotExist) && e.name == "" {
			err = os.MkdirAll(p, e.mode.Perm())
		}
		if err != nil && !errors.Is(err, fs.ErrExist) {
			return fmt.Errorf("build allocation directory: %w", err)
		}
		if err := os.Chmod(p, e.mode); err != nil { // the umask does not count
			return fmt.Errorf("build allocation directory: %w", err)
		}
	}
	return nil
}

// SaveRecord keeps data about a started task beside it.
func (d *Dir) SaveRecord(task string, data []byte) error {
	path := filepath.Join(d.TaskPath(task), Private, recordName)
	if err := os.WriteFile(path+".new", data, 0o600); err != nil {
		return fmt.Errorf("keep task record: %w", err)
	}
	return os.Rename(path+".new", path)
}

// DropRecord removes the record of a task that has ended.
func (d *Dir) DropRecord(task string) error {
	err := os.Remove(filepath.Join(d.TaskPath(task), Private, recordName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// Records returns the data of all tasks with a record.
func (d *Dir) Records() (map[string][]byte, error) {
	paths, err := filepath.Glob(filepath.Join(escapeGlob(d.path), "*", Private, recordName))
	if err != nil {
		return nil, err
	}
	out := make(map[string][]byte, len(paths))
	for _, p := range paths {
		data, err := os.ReadFile(p)
		if err != nil {
			return nil, err
		}
		out[filepath.Base(filepath.Dir(filepath.Dir(p)))] = data
	}
	return out, nil
}

// escapeGlob makes path a pattern that matches only itself.
func escapeGlob(path string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(path)
}

// List names the allocations that have a directory below base.
func List(base string) ([]string, error) {
	entries, err := os.ReadDir(base)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var ids []string
	for _, e := range entries {
		if e.IsDir() && looksLikeID(e.Name()) {
			ids = append(ids, e.Name())
		}
	}
	slices.Sort(ids)
	return ids, err
}

// looksLikeID tells an allocation's directory from whatever else lies in base.
func looksLikeID(name string) bool {
	if len(name) != 36 {
		return false
	}
	for i, c := range []byte(name) {
		dash := i == 8 || i == 13 || i == 18 || i == 23
		hex := c >= '0' && c <= '9' || c >= 'a' && c <= 'f'
		if dash && c != '-' || !dash && !hex {
			return false
		}
	}
	return true
}
