package alloc

import (
	"github.com/steppe-project/steppe/agent/client/driverset"
	"github.com/steppe-project/steppe/agent/client/logpump"
	"github.com/steppe-project/steppe/model"
	"github.com/steppe-project/steppe/plugins"
)

// accommodate prepares what drivers of others expect of their host: pipes for
// the output, and control groups that they find by name.
func (p *startPlan) accommodate(d *driverset.Driver, c *plugins.TaskConfig) (*logpump.Pump, error) {
	if d.Caps.RotatesLogs {
		return nil, nil
	}
	if p.r.deps.Place != nil {
		if err := p.r.deps.Place(p.r.id, p.task.Name, c.Resources.Linux.CpusetCPUs != ""); err != nil {
			return nil, err
		}
	}
	if c.Logs == nil {
		return nil, nil
	}
	logs := c.Logs
	c.Logs = nil
	pump, err := logpump.Start(logpump.Config{
		Dir: logs.Dir, Task: p.task.Name, MaxFiles: logs.MaxFiles, MaxBytes: logs.MaxBytes, Logger: p.r.log,
	})
	if err != nil {
		return nil, err
	}
	c.StdoutPath, c.StderrPath = pump.Stdout, pump.Stderr
	return pump, nil
}

// resumeOutput starts the pump of a running task again.
func (r *Runner) resumeOutput(t *taskRun, h *plugins.TaskHandle) *logpump.Pump {
	if h.Config.StdoutPath != logpump.Path(r.dir.LogPath(), t.task.Name, "stdout") {
		return nil
	}
	settings := t.task.LogConfig
	if settings == nil {
		settings = model.NewLogConfig()
	}
	pump, err := logpump.Start(logpump.Config{
		Dir: r.dir.LogPath(), Task: t.task.Name, Logger: r.log,
		MaxFiles: max(settings.MaxFiles, 1), MaxBytes: int64(max(settings.MaxFileSizeMB, 1)) << 20,
	})
	if err != nil {
		r.log.Error("the output of a task is not kept", "task", t.task.Name, "error", err)
	}
	return pump
}

// hush ends an instance's pump; over tells that the task has ended.
func (in *instance) hush(over bool) {
	switch {
	case in.pump == nil:
	case over:
		in.pump.Stop()
	default:
		in.pump.Leave()
	}
}
