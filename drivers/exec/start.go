package exec

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/steppe-project/steppe/drivers/entry"
	"github.com/steppe-project/steppe/drivers/entry/image"
	"github.com/steppe-project/steppe/drivers/shim"
	"github.com/steppe-project/steppe/drivers/shim/cgroup"
	"github.com/steppe-project/steppe/drivers/shim/settings"
	"github.com/steppe-project/steppe/drivers/shim/tasks"
	"github.com/steppe-project/steppe/plugins"
)

// defaultUser runs tasks that name none; defaultPath finds their commands.
const (
	defaultUser = "nobody"
	defaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
)

// containerID names libcontainer's state below a run's control directory.
const containerID = "container"

// taskConfig is a job's config block.
type taskConfig struct {
	command         string
	args            []string
	workDir         string
	pidMode         string
	ipcMode         string
	capAdd, capDrop []string
	pidsLimit       int64
	oomScoreAdj     int64
	groupsV1        map[string]string
}

func parseTask(conf config, msgpack []byte) (*taskConfig, error) {
	b := settings.Parse(msgpack)
	t := &taskConfig{
		command: b.String("command"), args: b.Strings("args"), workDir: or(b.String("work_dir"), "/"),
		pidMode: or(b.String("pid_mode"), conf.pidMode), ipcMode: or(b.String("ipc_mode"), conf.ipcMode),
		capAdd: b.Strings("cap_add"), capDrop: b.Strings("cap_drop"), pidsLimit: b.Int("pids_limit"),
		oomScoreAdj: b.Int("oom_score_adj"), groupsV1: b.Map("cgroup_v1_override"),
	}
	if err := errors.Join(b.Err(), checkMode("pid_mode", t.pidMode), checkMode("ipc_mode", t.ipcMode)); err != nil {
		return nil, err
	}
	switch {
	case t.command == "":
		return nil, errors.New("command must be set")
	case !filepath.IsAbs(t.workDir):
		return nil, fmt.Errorf("work_dir %q must be an absolute path", t.workDir)
	case t.pidsLimit < 0:
		return nil, fmt.Errorf("pids_limit %d must not be negative", t.pidsLimit)
	case t.oomScoreAdj < 0 || t.oomScoreAdj > 1000:
		return nil, fmt.Errorf("oom_score_adj %d must be from 0 to 1000", t.oomScoreAdj)
	}
	return t, nil
}

// StartTask implements plugins.TaskRunner.
func (d *Driver) StartTask(ctx context.Context, c *plugins.TaskConfig) (*plugins.TaskHandle, *plugins.NetworkOverride, error) {
	if err := errors.Join(tasks.CheckConfig(c), d.usable()); err != nil {
		return nil, nil, err
	}
	conf := d.settings()
	t, err := parseTask(conf, c.Msgpack)
	if err != nil {
		return nil, nil, err
	}
	done, err := d.Reserve(c.ID)
	if err != nil {
		return nil, nil, err
	}
	defer done()
	state := tasks.State{Dir: tasks.ControlDir(c), Reserved: tasks.IsReserved(c)}
	scope := d.Scope(c, state)
	if err := d.Prepare(ctx, c, scope); err != nil {
		return nil, nil, err
	}
	p := &planner{conf: conf, c: c, t: t, tree: d.Tree(), scope: scope, dir: state.Dir}
	spec, err := p.spec()
	if err != nil {
		return nil, nil, err
	}
	held, err := p.start(ctx, spec)
	if err != nil {
		return nil, nil, errors.Join(err, scope.Remove())
	}
	held.Warnings = append(held.Warnings, p.warnings...)
	handle, err := d.Add(&tasks.Task{Config: c, Shim: held, Scope: scope, State: state})
	return handle, nil, err
}

// start hands the container to the launcher below a new shim.
func (p *planner) start(ctx context.Context, spec *entry.Spec) (*shim.Task, error) {
	payload, err := spec.Encode()
	if err != nil {
		return nil, err
	}
	sc := &shim.Config{
		Dir: p.dir, Title: p.c.AllocID + "/" + p.c.Name, WorkDir: "/", Launch: payload, Launcher: image.Path(),
		KillDir: p.scope.KillDir(), Stdout: p.c.StdoutPath, Stderr: p.c.StderrPath, Files: p.files,
	}
	if p.t.oomScoreAdj != 0 {
		adj := int(p.t.oomScoreAdj)
		sc.OOMScoreAdj = &adj
	}
	if l := p.c.Logs; l != nil {
		sc.Logs = &shim.LogFiles{Dir: l.Dir, Name: l.Name, MaxFiles: l.MaxFiles, MaxBytes: l.MaxBytes}
	}
	held, err := shim.Start(ctx, sc)
	if se := (*shim.StartError)(nil); err != nil && (!errors.As(err, &se) || se.Recoverable()) {
		return nil, plugins.Recoverable(err)
	}
	return held, err
}

// resolveUser finds the task's user on the machine, whose user database the task
// sees too.
func resolveUser(conf config, name string) (*tasks.User, error) {
	u, err := tasks.LookupUser(or(name, defaultUser))
	if err != nil {
		return nil, err
	}
	return u, tasks.CheckUser(u, conf.deniedUIDs, conf.deniedGIDs)
}

// findCommand is the command as the container finds it: below /local or the
// task's directory if it is there, else as it is, to be looked up in PATH.
func findCommand(command string, v *view) (string, error) {
	if filepath.IsAbs(command) {
		return command, nil
	}
	for _, dir := range []string{"/local", "/"} {
		p := filepath.Join(dir, command)
		if info, known := v.stat(p); known && info != nil && info.Mode().IsRegular() {
			return p, nil
		}
	}
	if strings.ContainsRune(command, '/') {
		return "", fmt.Errorf("command not found: no %s below /local or / inside the task's file system", command)
	}
	return command, nil
}

// checkWorkDir refuses a working directory that libcontainer would make.
func checkWorkDir(dir string, v *view) error {
	info, known := v.stat(dir)
	switch {
	case !known:
		return nil
	case info == nil:
		return fmt.Errorf("the working directory %s does not exist inside the task's file system", dir)
	case !info.IsDir():
		return fmt.Errorf("the working directory %s is not a directory", dir)
	}
	return nil
}

// joinLast lists the v1 control groups that the task enters after libcontainer
// has placed it: those that the job names, and the cores that the host manages.
func (p *planner) joinLast(tree *cgroup.Tree) ([]string, error) {
	var files []string
	if len(p.t.groupsV1) > 0 && tree.Version() != cgroup.V1 {
		return nil, errors.New("cgroup_v1_override needs a machine with cgroup v1")
	}
	for controller, path := range p.t.groupsV1 {
		files = append(files, tree.Resolve(controller, path))
	}
	r := p.c.Resources
	if tree.Version() == cgroup.V1 && r != nil && r.Linux != nil && r.Linux.CpusetCgroup != "" && p.t.groupsV1["cpuset"] == "" {
		file := filepath.Join(r.Linux.CpusetCgroup, "cgroup.procs")
		if _, err := os.Stat(file); err == nil {
			files = append(files, file)
		}
	}
	return files, nil
}
