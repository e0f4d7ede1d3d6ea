package rawexec

import (
	"context"
	"errors"
	"os"
	"time"

	"github.com/steppe-project/steppe/drivers/shim"
	"github.com/steppe-project/steppe/drivers/shim/session"
	"github.com/steppe-project/steppe/plugins"
)

// ExecTask implements plugins.ExecTasker.
func (d *Driver) ExecTask(ctx context.Context, id string, command []string, timeout time.Duration) (*plugins.ExecResult, error) {
	cmd, err := d.beside(id, command)
	if err != nil {
		return nil, err
	}
	return session.Capture(ctx, cmd, timeout)
}

// ExecTaskStreaming implements plugins.ExecTasker.
func (d *Driver) ExecTaskStreaming(ctx context.Context, id string, opts *plugins.ExecOptions) (*plugins.ExitResult, error) {
	cmd, err := d.beside(id, opts.Command)
	if err != nil {
		return nil, err
	}
	return session.Stream(ctx, cmd, opts)
}

// beside plans a command with the task's user, environment, directory and
// control groups.
func (d *Driver) beside(id string, command []string) (*visitor, error) {
	t, err := d.Get(id)
	if err != nil {
		return nil, err
	}
	if _, over := t.Shim.Exited(); over {
		return nil, errors.New("the task is not running")
	}
	if len(command) == 0 {
		return nil, errors.New("no command to run")
	}
	conf, err := parseTask(t.Config.Msgpack)
	if err != nil {
		return nil, err
	}
	conf.command, conf.args = command[0], command[1:]
	p, err := d.plan(d.settings(), t.Config, conf)
	if err != nil {
		return nil, err
	}
	p.shim.OOMScoreAdj, p.shim.Logs, p.shim.KillDir = nil, nil, ""
	return &visitor{config: p.shim}, nil
}

// visitor implements session.Command.
type visitor struct {
	config  *shim.Config
	running *shim.Visitor
}

func (v *visitor) StartPipes(ctx context.Context, stdin, stdout, stderr *os.File) (err error) {
	v.running, err = shim.Enter(ctx, v.config, stdin, stdout, stderr, false)
	return err
}

func (v *visitor) StartTerminal(ctx context.Context) (*os.File, error) {
	master, slave, err := session.OpenTerminal()
	if err != nil {
		return nil, err
	}
	defer slave.Close()
	if c := v.config.Credential; c != nil {
		_ = slave.Chown(int(c.UID), -1) // only matters to programs that re-open it
	}
	if v.running, err = shim.Enter(ctx, v.config, slave, slave, slave, true); err != nil {
		master.Close()
		return nil, err
	}
	return master, nil
}

func (v *visitor) Wait() (plugins.ExitResult, error) {
	code, signal, err := v.running.Wait()
	return plugins.ExitResult{ExitCode: code, Signal: signal}, err
}

func (v *visitor) Kill() error { return v.running.Kill() }
