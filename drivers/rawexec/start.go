package rawexec

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/steppe-project/steppe/drivers/shim"
	"github.com/steppe-project/steppe/drivers/shim/cgroup"
	"github.com/steppe-project/steppe/drivers/shim/settings"
	"github.com/steppe-project/steppe/drivers/shim/tasks"
	"github.com/steppe-project/steppe/plugins"
)

// taskConfig is a job's config block.
type taskConfig struct {
	command       string
	args          []string
	workDir       string
	groupsV1      map[string]string
	groupV2       string
	deniedEnvVars []string
	oomScoreAdj   int64
}

func parseTask(msgpack []byte) (*taskConfig, error) {
	b := settings.Parse(msgpack)
	t := &taskConfig{
		command: b.String("command"), args: b.Strings("args"), workDir: b.String("work_dir"),
		groupsV1: b.Map("cgroup_v1_override"), groupV2: b.String("cgroup_v2_override"),
		deniedEnvVars: b.Strings("denied_envvars"), oomScoreAdj: b.Int("oom_score_adj"),
	}
	if err := b.Err(); err != nil {
		return nil, err
	}
	switch {
	case t.command == "":
		return nil, errors.New("command must be set")
	case t.workDir != "" && !filepath.IsAbs(t.workDir):
		return nil, fmt.Errorf("work_dir %q must be an absolute path", t.workDir)
	case t.oomScoreAdj < 0 || t.oomScoreAdj > 1000:
		return nil, fmt.Errorf("oom_score_adj %d must be from 0 to 1000", t.oomScoreAdj)
	case len(t.groupsV1) > 0 && t.groupV2 != "":
		return nil, errors.New("only one of cgroup_v1_override and cgroup_v2_override may be set")
	}
	return t, nil
}

// StartTask implements plugins.TaskRunner.
func (d *Driver) StartTask(ctx context.Context, c *plugins.TaskConfig) (*plugins.TaskHandle, *plugins.NetworkOverride, error) {
	if err := tasks.CheckConfig(c); err != nil {
		return nil, nil, err
	}
	if len(c.Mounts) > 0 {
		return nil, nil, errors.New("the raw_exec driver cannot mount volumes: its tasks share the machine's file system")
	}
	conf := d.settings()
	if !conf.enabled {
		return nil, nil, errors.New("the raw_exec driver is disabled on this node")
	}
	t, err := parseTask(c.Msgpack)
	if err != nil {
		return nil, nil, err
	}
	p, err := d.plan(conf, c, t)
	if err != nil {
		return nil, nil, err
	}
	done, err := d.Reserve(c.ID)
	if err != nil {
		return nil, nil, err
	}
	defer done()
	if err := d.Prepare(ctx, c, p.scope); err != nil {
		return nil, nil, err
	}
	if err := p.scope.Create(); err != nil {
		return nil, nil, plugins.Recoverable(err)
	}
	if c.Resources != nil {
		p.scope.SetCPUWeight(c.Resources.CPUShares)
	}
	held, err := shim.Start(ctx, p.shim)
	if err != nil {
		err = errors.Join(err, p.scope.Remove())
		if se := (*shim.StartError)(nil); errors.As(err, &se) && !se.Recoverable() {
			return nil, nil, err
		}
		return nil, nil, plugins.Recoverable(err)
	}
	handle, err := d.Add(&tasks.Task{Config: c, Shim: held, Scope: p.scope, State: p.state})
	return handle, nil, err
}

// plan is everything about a start that can be decided before it.
type plan struct {
	shim  *shim.Config
	scope *cgroup.Scope
	state tasks.State
}

func (d *Driver) plan(conf config, c *plugins.TaskConfig, t *taskConfig) (*plan, error) {
	user, err := resolveUser(conf, c.User)
	if err != nil {
		return nil, err
	}
	dir := tasks.TaskDir(c)
	env := tasks.Env(c, append(slices.Clone(conf.deniedEnvVars), t.deniedEnvVars...)...)
	path, err := findCommand(t.command, dir, env)
	if err != nil {
		return nil, err
	}
	p := &plan{state: tasks.State{Dir: tasks.ControlDir(c), Reserved: tasks.IsReserved(c)}}
	p.state.Outside = conf.noCgroups || t.groupV2 != "" || t.groupsV1["freezer"] != ""
	p.scope = d.Scope(c, p.state)
	if r := c.Resources; r != nil && r.Linux != nil && t.groupsV1["cpuset"] == "" {
		p.scope.LimitCores(r.Linux.CpusetCPUs)
	}
	p.shim = &shim.Config{
		Dir: p.state.Dir, Title: c.AllocID + "/" + c.Name,
		Path: path, Args: append([]string{t.command}, t.args...), Env: env, WorkDir: dir,
		KillDir: p.scope.KillDir(), Stdout: c.StdoutPath, Stderr: c.StderrPath,
	}
	if p.shim.Join, err = d.join(p.scope, t, c); err != nil {
		return nil, err
	}
	if t.workDir != "" {
		p.shim.WorkDir = t.workDir
	}
	if user != nil {
		p.shim.Credential = &user.Credential
		p.shim.Env = user.LoginEnv(env)
	}
	if n := c.NetworkIsolation; n != nil {
		p.shim.Network = n.Path
	}
	if t.oomScoreAdj != 0 {
		adj := int(t.oomScoreAdj)
		p.shim.OOMScoreAdj = &adj
	}
	if l := c.Logs; l != nil {
		p.shim.Logs = &shim.LogFiles{Dir: l.Dir, Name: l.Name, MaxFiles: l.MaxFiles, MaxBytes: l.MaxBytes}
	}
	return p, nil
}

// join lists the control groups that the task enters: its own, unless the job
// names others, and the one with its cores on v1.
func (d *Driver) join(scope *cgroup.Scope, t *taskConfig, c *plugins.TaskConfig) ([]string, error) {
	if t.groupV2 != "" {
		if d.Tree().Version() != cgroup.V2 {
			return nil, errors.New("cgroup_v2_override needs a machine with cgroup v2")
		}
		return []string{d.Tree().Resolve("", t.groupV2)}, nil
	}
	if len(t.groupsV1) > 0 && d.Tree().Version() != cgroup.V1 {
		return nil, errors.New("cgroup_v1_override needs a machine with cgroup v1")
	}
	files := scope.JoinFiles()
	if scope.Version() == cgroup.V1 && c.Resources != nil && c.Resources.Linux != nil && c.Resources.Linux.CpusetCgroup != "" {
		cpuset := filepath.Join(c.Resources.Linux.CpusetCgroup, "cgroup.procs")
		if _, err := os.Stat(cpuset); err == nil && t.groupsV1["cpuset"] == "" {
			files = slices.DeleteFunc(files, func(f string) bool { return d.Tree().Controller(f) == "cpuset" })
			files = append(files, cpuset)
		}
	}
	for controller, path := range t.groupsV1 {
		files = slices.DeleteFunc(files, func(f string) bool { return d.Tree().Controller(f) == controller })
		files = append(files, d.Tree().Resolve(controller, path))
	}
	slices.Sort(files)
	return files, nil
}

// resolveUser returns nil for the agent's own user.
func resolveUser(conf config, name string) (*tasks.User, error) {
	check := name
	if check == "" {
		check = fmt.Sprint(os.Geteuid())
		if len(conf.deniedUIDs) == 0 && len(conf.deniedGIDs) == 0 {
			return nil, nil
		}
	}
	u, err := tasks.LookupUser(check)
	if err != nil {
		return nil, err
	}
	if err := tasks.CheckUser(u, conf.deniedUIDs, conf.deniedGIDs); err != nil {
		return nil, err
	}
	if err := u.MayBecome(); err != nil {
		return nil, err
	}
	if name == "" || os.Geteuid() != 0 {
		return nil, nil
	}
	return u, nil
}

// findCommand returns the absolute path of a command: as it is, below the task's
// directories, or in the task's PATH (or the agent's if it has none).
func findCommand(command, taskDir string, env []string) (string, error) {
	if filepath.IsAbs(command) {
		return command, check(command)
	}
	places := []string{filepath.Join(taskDir, "local"), taskDir}
	for _, dir := range places {
		if p := filepath.Join(dir, command); check(p) == nil {
			return p, nil
		}
	}
	if strings.ContainsRune(command, '/') {
		return "", fmt.Errorf("command not found: no %s below %s", command, strings.Join(places, " or "))
	}
	search, set := tasks.Getenv(env, "PATH")
	if !set {
		search = os.Getenv("PATH")
	}
	var denied error
	for _, dir := range filepath.SplitList(search) {
		p := filepath.Join(dir, command)
		if !filepath.IsAbs(p) {
			continue
		}
		err := check(p)
		if err == nil {
			return p, nil
		}
		if _, missing := err.(notFound); !missing {
			denied = err
		}
	}
	if denied != nil {
		return "", denied
	}
	return "", fmt.Errorf("command not found: %s is neither in the task's directory nor in PATH (%s)", command, search)
}

// notFound is the path of a command that does not exist.
type notFound string

func (p notFound) Error() string { return "command not found: " + string(p) + " does not exist" }

// check says in words why a file cannot be a program.
func check(path string) error {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return notFound(path)
	case err != nil:
		return fmt.Errorf("cannot look at the command: %w", err)
	case info.IsDir():
		return fmt.Errorf("%s is a directory and not a program", path)
	case info.Mode()&0o111 == 0:
		return fmt.Errorf("permission denied: %s is not executable (its mode is %v)", path, info.Mode().Perm())
	}
	return nil
}
