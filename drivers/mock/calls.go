package mock

import (
	"context"
	"errors"
	"io"
	"time"

	"golang.org/x/sys/unix"

	"github.com/steppe-project/steppe/plugins"
)

// killed is the exit of a task that had to be.
var killed = plugins.ExitResult{ExitCode: 128 + int(unix.SIGKILL), Signal: int(unix.SIGKILL)}

// WaitTask implements plugins.TaskObserver.
func (d *Driver) WaitTask(ctx context.Context, id string) (*plugins.ExitResult, error) {
	t, err := d.get(id)
	if err != nil {
		return nil, err
	}
	select {
	case <-t.done:
		return t.status().Exit, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// InspectTask implements plugins.TaskObserver.
func (d *Driver) InspectTask(_ context.Context, id string) (*plugins.TaskStatus, error) {
	t, err := d.get(id)
	if err != nil {
		return nil, err
	}
	return t.status(), nil
}

// StopTask implements plugins.TaskRunner. The scripted program knows no signals
// but by kill_after: it ends that much later, or is killed after timeout.
func (d *Driver) StopTask(ctx context.Context, id string, timeout time.Duration, _ string) error {
	t, err := d.get(id)
	if err != nil {
		return err
	}
	ended := time.AfterFunc(t.conf.killAfter, func() { t.finish(t.conf.exit(), time.Now()) })
	defer ended.Stop()
	timer := time.NewTimer(timeout)
	defer timer.Stop()
	select {
	case <-t.done:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timer.C:
	}
	t.finish(killed, time.Now())
	return nil
}

// DestroyTask implements plugins.TaskRunner.
func (d *Driver) DestroyTask(_ context.Context, id string, force bool) error {
	t, err := d.get(id)
	if err != nil {
		return err
	}
	if !t.exited() {
		if !force {
			return errors.New("the task is still running: stop it first, or force its destruction")
		}
		t.finish(killed, time.Now())
	}
	<-t.printer
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.tasks, id)
	return nil
}

// SignalTask implements plugins.SignalTasker: signal_error, or nothing.
func (d *Driver) SignalTask(_ context.Context, id, signal string) error {
	t, err := d.get(id)
	if err != nil {
		return err
	}
	if t.conf.signalErr != "" {
		return errors.New(t.conf.signalErr)
	}
	if unix.SignalNum(signal) == 0 {
		return errors.New("unknown signal " + signal)
	}
	return nil
}

// The usage that every task of this driver reports.
const (
	usagePercent = 1
	usageBytes   = 1 << 20
)

// TaskStats implements plugins.TaskObserver with the same usage every time.
func (d *Driver) TaskStats(ctx context.Context, id string, interval time.Duration) (<-chan *plugins.TaskUsage, error) {
	t, err := d.get(id)
	if err != nil {
		return nil, err
	}
	out := make(chan *plugins.TaskUsage)
	go func() {
		defer close(out)
		tick := time.NewTicker(max(interval, time.Millisecond))
		defer tick.Stop()
		for {
			u := &plugins.TaskUsage{Timestamp: time.Now(), Total: plugins.Usage{
				CPU:    plugins.CPUUsage{Percent: usagePercent, Measured: []string{plugins.MeasuredPercent}},
				Memory: plugins.MemoryUsage{RSS: usageBytes, Measured: []string{plugins.MeasuredRSS}},
			}}
			select {
			case out <- u:
			case <-ctx.Done():
				return
			case <-t.done:
				return
			}
			select {
			case <-tick.C:
			case <-ctx.Done():
				return
			case <-t.done:
				return
			}
		}
	}()
	return out, nil
}

// ExecTask implements plugins.ExecTasker by the block exec_command.
func (d *Driver) ExecTask(ctx context.Context, id string, _ []string, timeout time.Duration) (*plugins.ExecResult, error) {
	t, err := d.get(id)
	if err != nil {
		return nil, err
	}
	if timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, timeout)
		defer cancel()
	}
	c, err := t.execCommand(ctx)
	if err != nil {
		return nil, err
	}
	return &plugins.ExecResult{Stdout: []byte(c.stdout), Exit: c.exit()}, nil
}

// ExecTaskStreaming implements plugins.ExecTasker by the block exec_command.
func (d *Driver) ExecTaskStreaming(ctx context.Context, id string, opts *plugins.ExecOptions) (*plugins.ExitResult, error) {
	t, err := d.get(id)
	if err != nil {
		return nil, err
	}
	c, err := t.execCommand(ctx)
	if err != nil {
		return nil, err
	}
	if opts.Stdout != nil {
		if _, err := io.WriteString(opts.Stdout, c.stdout); err != nil {
			return nil, err
		}
	}
	exit := c.exit()
	return &exit, nil
}

// execCommand is what an exec does, after it has taken its time.
func (t *task) execCommand(ctx context.Context) (*command, error) {
	if t.exited() {
		return nil, errors.New("the task is not running")
	}
	if t.conf.exec == nil {
		return nil, errors.New("the task's configuration has no exec_command")
	}
	select {
	case <-time.After(t.conf.exec.runFor):
		return t.conf.exec, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}
